"""The maps file of a run: what a method made of the test images, with their labels and ground truth.

Every method's file has ``label`` uint8 (N), 1 = anomalous; ``mask_nearest`` and ``mask_antialiased`` uint8 (N, H, W);
and ``map`` (N, H, W), raw and never normalised, unless the method joins maps of its own into one. ``score`` (N) and
``reconstruction`` uint8 (N, H, W, 3) are there where the method has them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from tfcore.metrics.pixels import Array
from tfcore.runtime.errors import UserError

MASK_RULES = ("nearest", "antialiased")
NOT_MAPS = ("label", "score", "reconstruction", *(f"mask_{rule}" for rule in MASK_RULES))


class MapsFile(Mapping[str, Array]):
    """An opened maps file: a mapping of array names to arrays, each read when it is asked for.

    ``rows`` reads only those images. ``header`` is as in the file, JSON values decoded. Raises `UserError` naming the
    file for what is missing, damaged or of unequal shape.
    """

    def __init__(self, path: Path | str, rows: Sequence[int] | None = None) -> None:
        self.path, self.rows = Path(path), rows
        self._masks: dict[str, NDArray[np.bool_]] = {}
        try:
            with safe_open(self.path, framework="numpy") as file:
                self.shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
                self.header = {key: _decoded(value) for key, value in (file.metadata() or {}).items()}
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such file; make the anomaly maps first (tfcore infer)") from error
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: cannot be read as a maps file: {error}") from error
        missing = [name for name in ("label", "mask_nearest", "mask_antialiased") if name not in self.shapes]
        if missing:
            raise UserError(f"{path}: no array '{missing[0]}' in it: this is not a maps file of `tfcore infer`")
        count, size = self.shapes["label"][0], self.shapes["mask_nearest"][1:]
        for name, shape in self.shapes.items():
            of_pixels = name.startswith("mask_") or name not in NOT_MAPS
            if of_pixels and (len(shape) != 3 or shape != (count, *size)):
                raise UserError(f"{path}: '{name}' has the shape {shape} for {count} labels")

    def __getitem__(self, name: str) -> Array:
        if name not in self.shapes:
            raise UserError(f"{self.path}: no array '{name}' in it; make the maps again (tfcore infer)")
        with safe_open(self.path, framework="numpy") as file:
            if self.rows is None:
                return np.asarray(file.get_tensor(name))
            part = file.get_slice(name)
            return np.concatenate([part[row : row + 1] for row in self.rows]) if len(self.rows) else part[:0]

    def __contains__(self, name: object) -> bool:  # a mapping's own would read the array
        return name in self.shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def labels(self) -> NDArray[np.uint8]:
        """Labels (N), 1 = anomalous."""
        return self["label"]

    def masks(self, rule: str) -> NDArray[np.bool_]:
        """Return the ground truth (N, H, W) as ``rule`` (nearest or antialiased) resized it."""
        if rule not in self._masks:  # a sweep scores every point against the same ones
            self._masks[rule] = np.asarray(self[f"mask_{rule}"] != 0)
        return self._masks[rule]


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
