"""Final maps (Eqs. 10 and 11): where λ and the mean filter are applied, and the sweeps over them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tfcore.methods.base import Arrays
from tfcore.runtime.errors import UserError

Array = NDArray[Any]


def final_maps(disc: Array, recon: Array, lambda_: float, kernel: int) -> NDArray[np.float32]:
    """Return M = (λ·M_disc + (1 - λ)·M_recon) filtered by a mean filter (Eqs. 10 and 11), float32 (N, H, W)."""
    return mean_filter(weighted(disc, recon, lambda_), kernel)


def weighted(disc: Array, recon: Array, lambda_: float) -> NDArray[np.float32]:
    """Return λ·M_disc + (1 - λ)·M_recon (Eq. 10) as float32."""
    if disc.shape != recon.shape:
        raise UserError(f"M_disc has the shape {disc.shape} and M_recon {recon.shape}: they must be equal")
    left = disc.astype(np.float32, copy=False) * np.float32(lambda_)
    return left + recon.astype(np.float32, copy=False) * np.float32(1 - lambda_)


def mean_filter(maps: Array, kernel: int) -> NDArray[np.float32]:
    """Average each map of (N, H, W) over a ``kernel`` x ``kernel`` window, zero padded (Eq. 11); kernel odd."""
    if kernel < 1 or kernel % 2 == 0:
        raise UserError(f"score.kernel: {kernel} is not an odd number above 0")
    maps = maps.astype(np.float32, copy=False)
    if kernel == 1:
        return maps
    return np.asarray(ndimage.uniform_filter(maps, size=(1, kernel, kernel), mode="constant", cval=0.0))


def sweep_points(maps: Arrays, settings: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Give every sweep point: ``lambda=0.9`` and ``kernel=5``, all else as in ``score``; ``mask=disc``, one map alone.

    A map alone is filtered as the others. ``settings`` are ``stage_settings(…, "sweep")``.
    """
    score, sweeps = settings["score"], settings["sweeps"]
    disc, recon = maps["disc"], maps["recon"]
    for lambda_ in sweeps["lambda"]:
        yield f"lambda={lambda_:g}", final_maps(disc, recon, lambda_, score["kernel"])
    for kernel in sweeps["kernel"]:
        yield f"kernel={kernel}", final_maps(disc, recon, score["lambda"], kernel)
    for mask in sweeps["mask"]:
        yield f"mask={mask}", mean_filter(maps[mask], score["kernel"])
