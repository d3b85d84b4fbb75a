"""Checkpoints of any method: tensors in safetensors, with the run's names and settings in the header."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tfcore.runtime.errors import UserError
from tfcore.runtime.files import order_header, replacing

FORMAT = "tfcore-1"


@dataclass(frozen=True)
class Checkpoint:
    """What a training made: its tensors, the names of its run (its method among them) and its settings."""

    path: Path
    state: dict[str, Tensor]
    run: dict[str, Any]
    settings: dict[str, Any]


def save_checkpoint(path: Path | str, state: dict[str, Tensor], run: dict[str, Any], settings: dict[str, Any]) -> None:
    """Write tensors, floating ones as float32; ``run`` and ``settings`` are JSON mappings.

    The format is described in docs/architecture.md.
    """
    plain = {name: _plain(value) for name, value in state.items()}
    header = {"format": FORMAT, "run": json.dumps(run), "settings": json.dumps(settings)}
    header["weights_sha256"] = weights_sha256(plain, header)
    save_tensors(path, plain, header)


def save_tensors(path: Path | str, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a safetensors file at once or not at all; equal content gives equal bytes."""
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=header)
        order_header(temporary)


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint; raises `UserError` with one line that names the file if it is missing, damaged or foreign."""
    path = Path(path)
    state, header = _read(path)
    if header.get("format") != FORMAT:
        raise UserError(f"{path}: not a {FORMAT} checkpoint; convert the authors' files with: tfcore convert-release")
    if weights_sha256(state, header) != header.get("weights_sha256"):
        raise UserError(f"{path}: damaged, its content does not match its weights_sha256; fetch or train it again")
    try:
        return Checkpoint(path, state, json.loads(header["run"]), json.loads(header["settings"]))
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: its header does not say whose weights these are: {error}") from error


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
