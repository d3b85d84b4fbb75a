"""What the reverse process does to one test image, step by step (Fig. 3)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tfcore.data.packed import Packed
from tfcore.methods.transfusion.diffusion import Step
from tfcore.methods.transfusion.infer import TransFusionModel
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import sha256_of
from tfcore.training.checkpoint import Checkpoint, save_tensors


def trace(model: TransFusionModel, checkpoint: Checkpoint, data: Packed, index: int | None, out: Path) -> None:
    """Write x_t, mask, anomaly and normal appearance of one test image at every step.

    ``out`` is a safetensors file: ``t`` int64 (K), ``x_t``, ``anomaly``, ``normal`` float32 (K, 3, H, W), ``mask``
    float32 (K, H, W) in [0, 1], ``x_0`` (3, H, W), ``image`` uint8 (H, W, 3), ``ground_truth`` uint8 (H, W); images in
    [-1, 1]. ``index`` is a row of the test images; None takes the first anomalous one.
    """
    row = int(data.labels.argmax()) if index is None else index
    if not 0 <= row < data.test_count:
        raise UserError(f"--index: {row} is not within the {data.test_count} test images of {data.folder}")
    crop = model.settings.crop
    image = torch.from_numpy(np.array(data.test_images(crop)[row : row + 1])).to(model.device)
    steps: list[Step] = []
    result = model.reverse(image, trace=steps)
    tensors = {
        "t": torch.tensor([step.t for step in steps]),
        "x_t": torch.cat([step.x_t for step in steps]),
        "mask": torch.cat([step.mask[:, 0] for step in steps]),
        "anomaly": torch.cat([step.anomaly for step in steps]),
        "normal": torch.cat([step.normal for step in steps]),
        "x_0": result.x0[0],
        "image": image[0],
        "ground_truth": torch.from_numpy(np.array(data.masks("nearest", crop)[row])),
    }
    header: dict[str, Any] = {"file": data.files[row], "defect": data.defects[row]}
    header |= {"run": json.dumps(checkpoint.run), "checkpoint_sha256": sha256_of(checkpoint.path)}
    save_tensors(out, {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, header)
