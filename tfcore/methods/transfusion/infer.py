"""Inference of one run: the maps of all test images of a category, in batches, written once."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from tfcore.data.packed import Packed
from tfcore.methods.transfusion.diffusion import Reverse, Step, reverse_process
from tfcore.runs.record import device_name, finish_record, source_commit, start_record
from tfcore.runs.run import Run
from tfcore.runtime.device import (
    autocast,
    explained,
    peak_memory,
    precision_name,
    prepare,
    reproducible,
    send,
    to_device,
)
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import order_header, replacing, sha256_of
from tfcore.settings.sections import DiffusionSettings, HardwareSettings, InferSettings, TrainingSettings, digest
from tfcore.training.checkpoint import load_checkpoint


class Model:
    """A checkpoint on a device, ready for inference."""

    def __init__(self, checkpoint: Path, precision: str, hardware: HardwareSettings) -> None:
        self.device = prepare(hardware)
        network, settings, self.run = load_checkpoint(checkpoint, self.device)
        self.settings = TrainingSettings.model_validate(settings)
        self.network = to_device(network, self.device).eval()
        self.precision, self.hardware = precision, hardware

    def reverse(
        self, images: Tensor, diffusion: DiffusionSettings | None = None, trace: list[Step] | None = None
    ) -> Reverse:
        """Run the reverse process on a batch uint8 (B, H, W, 3) on the device, by default as it was trained."""
        with (
            torch.inference_mode(),
            autocast(self.precision, self.device),
            reproducible(self.hardware, self.device),
        ):
            return reverse_process(self.network, to_input(images), diffusion or self.settings.diffusion, trace)


def infer(
    checkpoint: Path,
    packed: Path,
    out: Path,
    settings: dict[str, Any],
    hardware: HardwareSettings,
    run: Run | None = None,
) -> None:
    """Infer the test images of a packed category and write ``maps.safetensors`` and ``run.json`` into ``out``.

    ``settings`` is ``stage_settings(…, "infer")``; network, process and crop are the checkpoint's. ``run`` names the
    maps; by default it is the checkpoint's run. The content of the maps is described in docs/architecture.md.
    """
    with explained(f"inference with {checkpoint}"):
        model = Model(checkpoint, InferSettings.model_validate(settings["infer"]).precision, hardware)
        data = Packed(packed)
        check_pack(checkpoint, model, data)
        run = run or Run(data.dataset, data.category, model.run["variant"], model.run["seed"])
        sha256 = sha256_of(checkpoint)
        manifest = data.about.get("manifest_sha256")
        inputs = {"checkpoint_sha256": sha256, "pack": digest(data.about), "manifest_sha256": manifest}
        record = start_record(run, "infer", settings, str(model.device), **inputs)
        if not data.test_count:
            raise UserError(f"{packed}: holds no test images")
        images = data.test_images(model.settings.crop)
        start = time.monotonic()
        maps = make_maps(model, images)
        seconds = (time.monotonic() - start) / len(images)
        maps |= ground_truth(data, model.settings.crop)
        header = {
            # A converted checkpoint may not know what it was trained on; the pack does.
            "run": json.dumps(model.run | {"dataset": data.dataset, "category": data.category, "variant": run.variant}),
            "files": json.dumps(list(data.files)),
            "defects": json.dumps(list(data.defects)),
            "checkpoint_sha256": sha256,
            "commit": str(source_commit()["commit"] or ""),
            "device": device_name(str(model.device)),
        }
        path = out / "maps.safetensors"
        with replacing(path) as temporary:
            save_file(maps, temporary, metadata=header)
            order_header(temporary)
        finish_record(
            record,
            out / "run.json",
            maps_sha256=sha256_of(path),
            images=len(images),
            seconds_per_image=round(seconds, 6),
            precision=precision_name(model.precision, model.device),
            peak_memory_bytes=peak_memory(model.device),
        )


def check_pack(checkpoint: Path, model: Model, data: Packed) -> None:
    """Refuse images of another dataset, category or scale than the checkpoint's.

    A converted checkpoint may not know its dataset and category.
    """
    for key, found in (("dataset", data.dataset), ("category", data.category)):
        if model.run[key] not in (found, "unknown"):
            raise UserError(
                f"{checkpoint}: trained on the {key} {model.run[key]}, but {data.folder} holds {found}; "
                "give the images that belong to it"
            )
    if data.size != model.settings.data.resize:
        raise UserError(
            f"{checkpoint}: trained with data.resize {model.settings.data.resize}, but {data.folder} was packed at "
            f"{data.size} pixels; pack it with that size, or train again"
        )


def make_maps(model: Model, images: NDArray[np.uint8]) -> dict[str, Tensor]:
    """Return ``disc``, ``recon``, ``last`` float32 (N, H, W) and ``reconstruction`` uint8 (N, H, W, 3) on the host.

    Results stay on the device until the last batch is under way, so that nothing waits for a copy.
    """
    parts: list[dict[str, Tensor]] = []
    for batch in batches(images, model.hardware.infer_batch, model.device):
        parts.append(maps_of(batch, model.reverse(batch)))
    return {name: torch.cat([part[name] for part in parts]).cpu().contiguous() for name in parts[0]}


def maps_of(images: Tensor, result: Reverse) -> dict[str, Tensor]:
    """Return the maps of a batch uint8 (B, H, W, 3); M_recon is the squared error in [0, 1], mean over channels."""
    reconstruction = ((result.x0.float() + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1)
    return {
        "disc": result.disc[:, 0].float(),
        "recon": (reconstruction - images / 255).square().mean(dim=-1),
        "last": result.last[:, 0].float(),
        "reconstruction": (255 * reconstruction).round().to(torch.uint8),
    }


def ground_truth(data: Packed, crop: int) -> dict[str, Tensor]:
    """Return the masks by both rules and the labels of the test images."""
    arrays = {
        "mask_nearest": data.masks("nearest", crop),
        "mask_antialiased": data.masks("antialiased", crop),
        "label": data.labels,
    }
    return {name: torch.from_numpy(np.array(a, dtype=np.uint8)) for name, a in arrays.items()}


def batches(images: NDArray[np.uint8], size: int, device: torch.device) -> Iterator[Tensor]:
    """Give the images (N, H, W, 3) in batches on the device."""
    for first in range(0, len(images), size):
        yield send(torch.from_numpy(np.array(images[first : first + size])), device)


def to_input(images: Tensor) -> Tensor:
    """Turn uint8 (B, H, W, 3) into the network's input (B, 3, H, W) in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def trace(checkpoint: Path, packed: Path, index: int | None, out: Path, hardware: HardwareSettings) -> None:
    """Write what the reverse process does to one test image, step by step (Fig. 3).

    ``out`` is a safetensors file: ``t`` int64 (K), ``x_t``, ``anomaly``, ``normal`` float32 (K, 3, H, W), ``mask``
    float32 (K, H, W) in [0, 1], ``x_0`` (3, H, W), ``image`` uint8 (H, W, 3), ``ground_truth`` uint8 (H, W); images in
    [-1, 1]. ``index`` is a row of the test images; None takes the first anomalous one.
    """
    with explained(f"trace with {checkpoint}"):
        model, data = Model(checkpoint, "float32", hardware), Packed(packed)
        check_pack(checkpoint, model, data)
        row = int(data.labels.argmax()) if index is None else index
        if not 0 <= row < data.test_count:
            raise UserError(f"--index: {row} is not within the {data.test_count} test images of {packed}")
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
        header = {"run": json.dumps(model.run), "file": data.files[row], "defect": data.defects[row]}
        header["checkpoint_sha256"] = sha256_of(checkpoint)
        with replacing(out) as temporary:
            save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, temporary, metadata=header)
            order_header(temporary)
