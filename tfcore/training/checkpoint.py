"""Checkpoints: weights and buffers in safetensors, with the run's names and settings in the header."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tfcore.methods.transfusion.unet import UNet
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import order_header, replacing
from tfcore.settings.sections import TrainingSettings

FORMAT = "tfcore-1"


def save_checkpoint(path: Path | str, network: nn.Module, run: dict[str, Any], settings: dict[str, Any]) -> None:
    """Write a network's parameters and buffers, float32; ``run`` and ``settings`` are JSON mappings.

    The format is described in docs/architecture.md.
    """
    state = {name: _plain(value) for name, value in network.state_dict().items()}
    header = {"format": FORMAT, "run": json.dumps(run), "settings": json.dumps(settings)}
    header["weights_sha256"] = weights_sha256(state, header)
    with replacing(path) as temporary:
        save_file(state, temporary, metadata=header)
        order_header(temporary)


def load_checkpoint(
    path: Path | str, device: torch.device | str = "cpu"
) -> tuple[UNet, dict[str, Any], dict[str, Any]]:
    """Read a checkpoint; return the network in evaluation mode, its settings and its run's names.

    Raises `UserError` with one line that names the file if it is missing, damaged or of another format.
    """
    state, header = _read(Path(path))
    if header.get("format") != FORMAT:
        raise UserError(f"{path}: not a {FORMAT} checkpoint; convert the authors' files with: tfcore convert-release")
    if weights_sha256(state, header) != header.get("weights_sha256"):
        raise UserError(f"{path}: damaged, its content does not match its weights_sha256; fetch or train it again")
    try:
        settings, run = json.loads(header["settings"]), json.loads(header["run"])
        network = UNet(TrainingSettings.model_validate(settings).model)
        network.load_state_dict(state)
    except (ValidationError, KeyError, ValueError, RuntimeError) as error:
        detail = str(error).splitlines()[0]
        raise UserError(f"{path}: weights and settings do not fit this version: {detail}") from error
    return network.to(device).eval(), settings, run


def weights_sha256(state: dict[str, Tensor], header: dict[str, str]) -> str:
    """Return a sha256 over the header's run and settings, and every tensor's name, type, shape and bytes."""
    total = hashlib.sha256()
    for key in ("run", "settings"):
        total.update(header.get(key, "").encode() + b"\0")
    for name in sorted(state):
        value = state[name]
        total.update(f"{name} {value.dtype} {tuple(value.shape)}\0".encode())
        total.update(value.contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def _plain(value: Tensor) -> Tensor:
    """Return a tensor of its own in main memory; floating point becomes float32."""
    value = value.detach().to("cpu", torch.float32 if value.is_floating_point() else value.dtype)
    return value.contiguous().clone()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: damaged or not a safetensors file ({error}); fetch or train it again") from error
