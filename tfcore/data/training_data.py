"""What a training reads: a category's normal images with their foregrounds, and the textures, on the device."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tfcore.data.packed import Packed, about_textures, packed_textures
from tfcore.runtime.device import upload
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import digest
from tfcore.settings.sections import DataSettings


@dataclass
class TrainingData:
    """Images uint8 (N, H, W, 3) and foregrounds uint8 (N, H, W), cropped; textures uint8 (K, S, S, 3), perhaps none.

    ``inputs`` are the digests by which a record tells what it was trained on: ``pack``, ``textures``,
    ``manifest_sha256``, and ``foreground``, where anomalies may lie (`tfcore.runs.stages.foreground_source`).
    """

    images: Tensor
    foregrounds: Tensor
    textures: Tensor
    device: torch.device
    inputs: dict[str, str | None]

    @classmethod
    def load(cls, packed: Path, textures: Path | None, data: DataSettings, device: torch.device) -> "TrainingData":
        """Read a packed category and the packed textures; they stay on the device when they fit.

        Raises `UserError` when there is no training image, or the images were packed with another ``data.resize``.
        """
        category, crop = Packed(packed), data.crop or data.resize
        if not category.train_count:
            raise UserError(f"{packed}: holds no training images")
        if category.size != data.resize:
            raise UserError(
                f"{packed}: packed at {category.size} pixels, but data.resize is {data.resize}; pack the category again"
            )
        sources = np.empty((0, 1, 1, 3), np.uint8) if textures is None else packed_textures(textures)
        arrays = (category.train_images(crop), category.foregrounds(crop), sources)
        images, foregrounds, pasted = (upload(torch.from_numpy(np.array(array)), device) for array in arrays)
        about = category.about
        inputs = {"pack": digest(about), "textures": None if textures is None else digest(about_textures(textures))}
        inputs |= {name: about.get(name) for name in ("manifest_sha256", "foreground")}
        return cls(images, foregrounds, pasted, device, inputs)
