"""Inference of one run by any method: the maps of all test images of a category, in batches, written once."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from tfcore.data.packed import Packed
from tfcore.methods.base import Method, Model
from tfcore.methods.registry import method_named
from tfcore.runs.record import device_name, finish_record, run_names, source_commit, start_record
from tfcore.runs.run import Run
from tfcore.runtime.device import explained, peak_memory, precision_name, prepare, send
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import digest, sha256_of
from tfcore.settings.sections import DataSettings, HardwareSettings
from tfcore.training.checkpoint import Checkpoint, load_checkpoint, save_tensors


@dataclass(frozen=True)
class Loaded:
    """A checkpoint of any method on a device, ready for images of the geometry that it was trained on."""

    checkpoint: Checkpoint
    method: Method
    model: Model
    data: DataSettings
    device: torch.device

    @classmethod
    def read(cls, path: Path, hardware: HardwareSettings, infer: dict[str, Any] | None = None) -> "Loaded":
        """Load a checkpoint; ``infer`` is ``stage_settings(…, "infer")``, by default the method's defaults.

        Raises `UserError` for weights and settings that do not fit this version.
        """
        device = prepare(hardware.device, hardware.threads, hardware.deterministic)
        checkpoint = load_checkpoint(path)
        method = method_named(str(checkpoint.run.get("method")))
        try:
            model = method.load(checkpoint, infer or {}, hardware, device)
            data = DataSettings.model_validate(checkpoint.settings["data"])
        except (ValidationError, KeyError, ValueError, RuntimeError) as error:
            detail = str(error).splitlines()[0]
            raise UserError(f"{path}: weights and settings do not fit this version: {detail}") from error
        return cls(checkpoint, method, model, data, device)

    @property
    def crop(self) -> int:
        """Side in pixels of the model's input."""
        return self.data.crop or self.data.resize

    def check_pack(self, packed: Packed) -> None:
        """Refuse images of another dataset, category or scale than the checkpoint's.

        A converted checkpoint may not know its dataset and category.
        """
        path, run = self.checkpoint.path, self.checkpoint.run
        for key, found in (("dataset", packed.dataset), ("category", packed.category)):
            if run[key] not in (found, "unknown"):
                raise UserError(
                    f"{path}: trained on the {key} {run[key]}, but {packed.folder} holds {found}; "
                    "give the images that belong to it"
                )
        if packed.size != self.data.resize:
            raise UserError(
                f"{path}: trained with data.resize {self.data.resize}, but {packed.folder} was packed at "
                f"{packed.size} pixels; pack it with that size, or train again"
            )


def infer(
    checkpoint: Path,
    packed: Path,
    out: Path,
    settings: dict[str, Any],
    hardware: HardwareSettings,
    run: Run | None = None,
) -> None:
    """Infer the test images of a packed category and write ``maps.safetensors`` and ``run.json`` into ``out``.

    ``settings`` is ``stage_settings(…, "infer")``; the model and its crop are the checkpoint's. ``run`` names the
    maps; by default it is the checkpoint's run. The content of the maps is described in docs/architecture.md.
    """
    with explained(f"inference with {checkpoint}"):
        loaded, data = Loaded.read(checkpoint, hardware, settings), Packed(packed)
        loaded.check_pack(data)
        names = loaded.checkpoint.run
        # A converted checkpoint may not know what it was trained on; the pack does.
        run = run or Run(data.dataset, data.category, names["variant"], names["seed"])
        sha256 = sha256_of(checkpoint)
        manifest = data.about.get("manifest_sha256")
        inputs = {"checkpoint_sha256": sha256, "pack": digest(data.about), "manifest_sha256": manifest}
        record = start_record(run, "infer", settings, str(loaded.device), **inputs)
        if not data.test_count:
            raise UserError(f"{packed}: holds no test images")
        images = data.test_images(loaded.crop)
        start = time.monotonic()
        maps = make_maps(loaded, images, hardware.infer_batch)
        seconds = (time.monotonic() - start) / len(images)
        maps |= ground_truth(data, loaded.crop)
        header = {
            "run": json.dumps(names | run_names(run, loaded.method.name)),
            "files": json.dumps(list(data.files)),
            "defects": json.dumps(list(data.defects)),
            "checkpoint_sha256": sha256,
            "commit": str(source_commit()["commit"] or ""),
            "device": device_name(str(loaded.device)),
        }
        path = out / "maps.safetensors"
        save_tensors(path, maps, header)
        finish_record(
            record,
            out / "run.json",
            maps_sha256=sha256_of(path),
            images=len(images),
            seconds_per_image=round(seconds, 6),
            precision=precision_name(loaded.model.precision, loaded.device),
            peak_memory_bytes=peak_memory(loaded.device),
        )


def make_maps(loaded: Loaded, images: NDArray[np.uint8], batch_size: int) -> dict[str, Tensor]:
    """Return the model's maps of images uint8 (N, H, W, 3), on the host.

    Results stay on the device until the last batch is under way, so that nothing waits for a copy.
    """
    parts = []
    for first in range(0, len(images), batch_size):
        batch = torch.from_numpy(np.array(images[first : first + batch_size]))
        parts.append(loaded.model.maps(send(batch, loaded.device)))
    return {name: torch.cat([part[name] for part in parts]).cpu().contiguous() for name in parts[0]}


def ground_truth(data: Packed, crop: int) -> dict[str, Tensor]:
    """Return the masks by both rules and the labels of the test images."""
    arrays = {
        "mask_nearest": data.masks("nearest", crop),
        "mask_antialiased": data.masks("antialiased", crop),
        "label": data.labels,
    }
    return {name: torch.from_numpy(np.array(a, dtype=np.uint8)) for name, a in arrays.items()}
