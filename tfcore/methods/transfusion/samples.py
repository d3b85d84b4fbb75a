"""What a training shows the network: samples with their anomaly, its mask and the simulated previous mask."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tfcore.data.training_data import TrainingData
from tfcore.methods.transfusion.batch import make_batch
from tfcore.methods.transfusion.diffusion import compose
from tfcore.methods.transfusion.settings import TrainingSettings

TITLE = "synthetic anomaly, its mask, the simulated previous mask"


def training_samples(stage: TrainingSettings, data: TrainingData, rows: Tensor, seed: int) -> list[NDArray[np.uint8]]:
    """Return panels uint8 (len(rows), H, W, 3) of training images, each with an opaque anomaly, and of its masks."""
    options = stage.anomalies.model_copy(update={"fraction": 1.0})
    batch = make_batch(
        data.images[rows],
        data.foregrounds[rows],
        data.textures,
        stage.model_copy(update={"anomalies": options}),
        torch.Generator().manual_seed(seed),
    )
    opaque = compose(batch.normal, batch.anomaly, batch.mask, torch.ones(len(batch.t)))
    return [to_pixels(opaque), mask_pixels(batch.mask), mask_pixels(batch.previous_mask)]


def to_pixels(images: Tensor) -> NDArray[np.uint8]:
    """Turn images (B, 3, H, W) in [-1, 1] into uint8 (B, H, W, 3)."""
    scaled = ((images + 1) * 127.5).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def mask_pixels(masks: Tensor) -> NDArray[np.uint8]:
    """Turn masks (B, 1, H, W) in {0, 1} into white on black, uint8 (B, H, W, 3)."""
    return to_pixels((masks * 2 - 1).expand(-1, 3, -1, -1))
