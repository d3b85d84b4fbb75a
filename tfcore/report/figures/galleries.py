"""Contact sheets: what a category's model is trained on, and where its objects were found."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot
from numpy.typing import NDArray

from tfcore.data.packed import Packed
from tfcore.methods.transfusion.batch import Batch, make_batch
from tfcore.methods.transfusion.diffusion import compose
from tfcore.methods.transfusion.settings import TrainingSettings
from tfcore.report.figures.style import DPI, use_style
from tfcore.runtime.files import replacing

Pixels = NDArray[np.uint8]

ANOMALIES, FOREGROUNDS = 32, 16


def anomaly_gallery(packed: Path, textures: Path, settings: dict[str, Any], out: Path, seed: int = 0) -> None:
    """Draw 32 training samples to ``out`` (*.png): image with opaque anomaly, its mask, the simulated previous mask.

    ``textures`` is the folder of packed textures, ``settings`` is ``stage_settings(…, "train")``.
    """
    stage = TrainingSettings.model_validate(settings)
    data = Packed(packed)
    batch = sample_batch(data, textures, stage, seed)
    opaque = compose(batch.normal, batch.anomaly, batch.mask, torch.ones(len(batch.t)))
    panels = [to_pixels(opaque), mask_pixels(batch.mask), mask_pixels(batch.previous_mask)]
    title = f"{data.dataset} {data.category}: synthetic anomaly, its mask, the simulated previous mask"
    draw_sheet(side_by_side(*panels), 4, title, out)


def foreground_gallery(packed: Path, out: Path) -> None:
    """Draw the foregrounds of 16 training images to ``out`` (*.png): image, and the same with the background faded."""
    data = Packed(packed)
    rows = spread(data.train_count, FOREGROUNDS)
    images, masks = data.train_images()[rows], data.foregrounds()[rows, :, :, None]
    faded = np.where(masks > 0, images, 230 + images // 10).astype(np.uint8)
    title = f"{data.dataset} {data.category}: training image, and its foreground (background faded)"
    draw_sheet(side_by_side(images, faded), 4, title, out)


def sample_batch(data: Packed, textures: Path, stage: TrainingSettings, seed: int) -> Batch:
    """Make a batch of 32 samples, each with an anomaly, from images spread over the training set."""
    options = stage.anomalies.model_copy(update={"fraction": 1.0})
    rows = spread(data.train_count, ANOMALIES)
    return make_batch(
        torch.from_numpy(data.train_images(stage.crop)[rows]),
        torch.from_numpy(data.foregrounds(stage.crop)[rows]),
        torch.from_numpy(np.load(textures / "images.npy")),
        stage.model_copy(update={"anomalies": options}),
        torch.Generator().manual_seed(seed),
    )


def spread(total: int, count: int) -> NDArray[np.int64]:
    """Return ``count`` evenly spread row numbers below ``total``; rows repeat when there are fewer."""
    return np.linspace(0, total - 1, count).round().astype(np.int64)


def to_pixels(images: torch.Tensor) -> Pixels:
    """Turn images (B, 3, H, W) in [-1, 1] into uint8 (B, H, W, 3)."""
    scaled = ((images + 1) * 127.5).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def mask_pixels(masks: torch.Tensor) -> Pixels:
    """Turn masks (B, 1, H, W) in {0, 1} into white on black, uint8 (B, H, W, 3)."""
    return to_pixels((masks * 2 - 1).expand(-1, 3, -1, -1))


def side_by_side(*panels: Pixels) -> Pixels:
    """Join panels (N, H, W, 3) into strips with a white gap."""
    gap = np.full((*panels[0].shape[:2], max(2, panels[0].shape[2] // 40), 3), 255, np.uint8)
    parts = [part for panel in panels for part in (gap, panel)][1:]
    return np.concatenate(parts, axis=2)


def draw_sheet(strips: Pixels, columns: int, title: str, out: Path) -> None:
    """Draw strips (N, H, W, 3) in a grid with a title; a sheet of photographs is written as PNG alone."""
    use_style()
    rows = -(-len(strips) // columns)
    width = 3.0
    height = width * strips.shape[1] / strips.shape[2]
    figure, axes = pyplot.subplots(rows, columns, figsize=(columns * width, rows * height + 0.4), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, strip in zip(axes.flat, strips, strict=False):
        axis.imshow(strip)
    figure.suptitle(title)
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})
    pyplot.close(figure)
