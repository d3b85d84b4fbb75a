"""The maps file of a run, final maps (Eqs. 10 and 11) and image scores."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from scipy import ndimage

from tfcore.metrics.pixels import Array
from tfcore.runtime.errors import UserError

MASK_KINDS = ("disc", "recon", "last")
NEEDED = ("disc", "recon", "last", "label", "mask_nearest", "mask_antialiased")


@dataclass(frozen=True)
class MapsFile:
    """Maps of a run's test images.

    ``disc``, ``recon`` and ``last`` (N, H, W) float32 or float16, unfiltered; ``labels`` (N), 1 = anomalous;
    ``masks`` (N, H, W) bool by one mask rule; ``header`` as in the file, JSON values decoded.
    """

    path: Path
    disc: Array
    recon: Array
    labels: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    header: dict[str, Any]

    @property
    def last(self) -> Array:
        """Read M_1 when it is asked for: only the sweep over mask kinds needs it."""
        with safe_open(self.path, framework="numpy") as file:
            return np.asarray(file.get_tensor("last"))


def read_maps(path: Path | str, mask_rule: str) -> MapsFile:
    """Read a maps file with ground truth by ``mask_rule`` (nearest or antialiased); `UserError` names what is wrong."""
    path = Path(path)
    try:
        with safe_open(path, framework="numpy") as file:
            missing = [name for name in NEEDED if name not in file.keys()]  # noqa: SIM118 (not a mapping)
            if missing:
                raise UserError(f"{path}: no array '{missing[0]}' in it: this is not a maps file of `tfcore infer`")
            header = {key: _decoded(value) for key, value in (file.metadata() or {}).items()}
            disc, recon, labels = (file.get_tensor(name) for name in ("disc", "recon", "label"))
            masks = file.get_tensor(f"mask_{mask_rule}")
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in (*MASK_KINDS, f"mask_{mask_rule}")}
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; make the maps first (tfcore infer)") from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be read as a maps file: {error}") from error
    for name, shape in shapes.items():
        if len(shape) != 3 or shape != (labels.size, *masks.shape[1:]):
            raise UserError(f"{path}: '{name}' has the shape {shape} for {labels.size} labels")
    return MapsFile(path, disc, recon, labels, masks != 0, header)


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def mean_filter(maps: Array, kernel: int) -> NDArray[np.float32]:
    """Average each map of (N, H, W) over a ``kernel`` x ``kernel`` window, zero padded (Eq. 11); kernel odd."""
    if kernel < 1 or kernel % 2 == 0:
        raise UserError(f"score.kernel: {kernel} is not an odd number above 0")
    maps = maps.astype(np.float32, copy=False)
    if kernel == 1:
        return maps
    return np.asarray(ndimage.uniform_filter(maps, size=(1, kernel, kernel), mode="constant", cval=0.0))


def final_maps(disc: Array, recon: Array, lambda_: float, kernel: int) -> NDArray[np.float32]:
    """Return M = (λ·M_disc + (1 - λ)·M_recon) filtered by a mean filter (Eqs. 10 and 11), float32 (N, H, W)."""
    return mean_filter(weighted(disc, recon, lambda_), kernel)


def weighted(disc: Array, recon: Array, lambda_: float) -> NDArray[np.float32]:
    """Return λ·M_disc + (1 - λ)·M_recon (Eq. 10) as float32."""
    if disc.shape != recon.shape:
        raise UserError(f"M_disc has the shape {disc.shape} and M_recon {recon.shape}: they must be equal")
    left = disc.astype(np.float32, copy=False) * np.float32(lambda_)
    return left + recon.astype(np.float32, copy=False) * np.float32(1 - lambda_)


def image_scores(final: Array) -> Array:
    """Return the score of each image: the maximum of its final map."""
    return np.asarray(final.max(axis=(1, 2)))


def image_score_grid(
    disc: Array, recon: Array, lambdas: Sequence[float], kernels: Sequence[int]
) -> NDArray[np.float32]:
    """Return image scores (kernels, lambdas, N) on the whole grid of λ and kernel.

    The filter is linear: each map is filtered once per kernel. The maximum is not: it is taken per λ.
    """
    scores = np.empty((len(kernels), len(lambdas), len(disc)), dtype=np.float32)
    for index in range(len(disc)):  # one image stays in the processor's cache
        image = slice(index, index + 1)
        for row, kernel in enumerate(kernels):
            left, right = mean_filter(disc[image], kernel), mean_filter(recon[image], kernel)
            for column, lambda_ in enumerate(lambdas):
                scores[row, column, index] = weighted(left, right, lambda_).max()
    return scores
