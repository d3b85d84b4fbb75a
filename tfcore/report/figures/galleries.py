"""Contact sheets: what a category's model is trained on, and where its objects were found."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from tfcore.data.packed import Packed
from tfcore.data.training_data import TrainingData
from tfcore.methods.registry import method_named
from tfcore.report.figures.style import use_style
from tfcore.runtime.files import replacing
from tfcore.settings.sections import DataSettings

Pixels = NDArray[np.uint8]

ANOMALIES, FOREGROUNDS = 32, 16


def anomaly_gallery(packed: Path, textures: Path, settings: dict[str, Any], out: Path, seed: int = 0) -> None:
    """Draw what a training makes of 32 images to ``out`` (*.png).

    ``textures`` is the folder of packed textures, ``settings`` is ``stage_settings(…, "train")``.
    """
    method, about = method_named(settings["method"]), Packed(packed)
    geometry = DataSettings.model_validate(settings["data"])
    data = TrainingData.load(packed, textures if method.needs_textures else None, geometry, torch.device("cpu"))
    rows = torch.from_numpy(spread(len(data.images), ANOMALIES))
    title, panels = method.training_samples(settings, data, rows, seed)
    draw_sheet(side_by_side(*panels), 4, f"{about.dataset} {about.category}: {title}", out)


def foreground_gallery(packed: Path, out: Path) -> None:
    """Draw the foregrounds of 16 training images to ``out`` (*.png): image, and the same with the background faded."""
    data = Packed(packed)
    rows = spread(data.train_count, FOREGROUNDS)
    images, masks = data.train_images()[rows], data.foregrounds()[rows, :, :, None]
    faded = np.where(masks > 0, images, 230 + images // 10).astype(np.uint8)
    title = f"{data.dataset} {data.category}: training image, and its foreground (background faded)"
    draw_sheet(side_by_side(images, faded), 4, title, out)


def spread(total: int, count: int) -> NDArray[np.int64]:
    """Return ``count`` evenly spread row numbers below ``total``; rows repeat when there are fewer."""
    return np.linspace(0, total - 1, count).round().astype(np.int64)


def side_by_side(*panels: Pixels) -> Pixels:
    """Join panels (N, H, W, 3) into strips with a white gap."""
    gap = np.full((*panels[0].shape[:2], max(2, panels[0].shape[2] // 40), 3), 255, np.uint8)
    parts = [part for panel in panels for part in (gap, panel)][1:]
    return np.concatenate(parts, axis=2)


def draw_sheet(strips: Pixels, columns: int, title: str, out: Path) -> None:
    """Draw strips (N, H, W, 3) in a grid with a title; a sheet of photographs is written as PNG alone."""
    use_style()
    rows, width = -(-len(strips) // columns), 3.0
    height = width * strips.shape[1] / strips.shape[2]
    figure = Figure(figsize=(columns * width, rows * height + 0.4))
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, strip in zip(axes.flat, strips, strict=False):
        axis.imshow(strip)
    figure.suptitle(title)
    with replacing(out) as temporary:
        figure.savefig(temporary, metadata={"Software": None})
