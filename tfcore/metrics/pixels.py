"""Pixels of maps, sorted as far as a metric needs: normal scores, anomalous scores, regions."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfcore.runtime.errors import UserError

Array = NDArray[Any]
Floats = NDArray[np.float64]

EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)
SAMPLE = 100_000


@dataclass(frozen=True)
class Pixels:
    """What the pixel metrics need of N maps.

    ``normals`` are the scores of normal pixels, ascending: all of them, or every one that is at least ``floor``;
    ``normal_count`` counts all. ``scores``, ``shares`` (1 / pixels of the region) and ``image`` describe the anomalous
    pixels, by ascending score; ``regions`` (N) counts the regions of each image.
    """

    normals: Array
    normal_count: int
    scores: Array
    shares: Floats
    image: NDArray[np.int32]
    regions: NDArray[np.int64]

    def ranks(self, start: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count, for each anomalous pixel from ``start`` on, the normal scores above it, and those not below it."""
        scores = self.scores[start:]
        above = self.normals.size - np.searchsorted(self.normals, scores, side="right")
        return above, not_below(self.normals, scores)


def not_below(ascending: Array, thresholds: Array) -> NDArray[np.int64]:
    """Count, for each threshold, the values that are at least as high."""
    return ascending.size - np.searchsorted(ascending, thresholds, side="left")


def checked(maps: Array, masks: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return maps (N, H, W) of real numbers and boolean masks of the same shape, or raise `UserError`."""
    maps, masks = np.asarray(maps), np.asarray(masks)
    if maps.ndim != 3 or maps.shape != masks.shape:
        raise UserError(
            f"maps have the shape {maps.shape} and masks {masks.shape}: both must be (images, height, width) and equal"
        )
    if maps.size == 0:
        raise UserError(f"maps have the shape {maps.shape}: there is nothing to score")
    if maps.dtype.kind not in "fiu":
        raise UserError(f"maps have the type {maps.dtype}: real numbers are needed")
    if masks.dtype.kind == "f" and not np.isin(np.unique(masks), (0, 1)).all():
        raise UserError("masks have values between 0 and 1: make them 0 or 1 first, by the rule that you mean")
    if masks.dtype.kind not in "fiub":
        raise UserError(f"masks have the type {masks.dtype}: 0 = normal and any other integer = anomalous are needed")
    return maps, masks.view(np.bool_) if masks.dtype == np.bool_ else masks != 0


def images_of(maps: Array) -> Iterator[Array]:
    """Yield the maps one by one, half precision as float32 (the same values, and NumPy sorts them much faster)."""
    for index, image in enumerate(maps):
        if image.dtype == np.float16:
            image = image.astype(np.float32)
        if image.size and not (np.isfinite(image.min()) and np.isfinite(image.max())):
            raise UserError(f"map {index} has a value that is NaN or infinite: no metric is defined on it")
        yield image


def collect(maps: Array, masks: Array, share: float = 1.0) -> Pixels:
    """Gather the pixels of maps (N, H, W) under masks (N, H, W): all normal ones, or the highest ``share`` of them.

    One pass over the images. Raises `UserError` where no region or no normal pixel exists, or a score is not finite.
    """
    maps, masks = checked(maps, masks)
    anomalous_count = int(np.count_nonzero(masks))
    normal_count = masks.size - anomalous_count
    if anomalous_count == 0:
        raise UserError("masks have no anomalous pixel: region overlap and pixel metrics are not defined")
    if normal_count == 0:
        raise UserError("masks have no normal pixel: the false positive rate is not defined")
    # Only scores with fewer than k + 1 normal ones above them matter; two more are kept against rounding.
    needed = min(normal_count, int(share * normal_count) + 3)
    floor = _guessed_floor(maps, masks, needed / normal_count)
    pixels = _collect_above(maps, masks, floor)
    if pixels.normals.size < needed:
        pixels = _collect_above(maps, masks, None)
    return pixels


def _guessed_floor(maps: Array, masks: NDArray[np.bool_], share: float) -> Any:
    """Guess from a sample a score that at least ``share`` of the normal pixels reach, or None for the lowest of all.

    A wrong guess costs time and never changes a result: the caller counts what lies above it.
    """
    step = max(1, maps.size // SAMPLE)
    while gcd(step, maps.shape[2]) > 1:  # else the sample would lie in a few columns
        step += 1
    sample = maps.reshape(-1)[::step][~masks.reshape(-1)[::step]]
    quantile = 1 - share - 4 * (share * (1 - share) / max(sample.size, 1)) ** 0.5
    if quantile <= 0 or sample.size == 0:
        return None
    if sample.dtype == np.float16:
        sample = sample.astype(np.float32)
    position = int(quantile * sample.size)
    return np.partition(sample, position)[position]


def _collect_above(maps: Array, masks: NDArray[np.bool_], floor: Any) -> Pixels:
    normals: list[Array] = []
    scores: list[Array] = []
    shares: list[Floats] = []
    regions = np.zeros(len(maps), dtype=np.int64)
    for index, image in enumerate(images_of(maps)):
        mask = masks[index]
        kept = ~mask if floor is None else (image >= floor) & ~mask
        normals.append(image[kept])
        if mask.any():
            values, share, regions[index] = _region_pixels(image, mask)
            scores.append(values)
            shares.append(share)
    # Images with regions are those with anomalous pixels.
    image_of = np.repeat(np.flatnonzero(regions).astype(np.int32), [values.size for values in scores])
    joined = np.concatenate(scores)
    order = np.argsort(joined)
    sorted_normals = np.concatenate(normals)
    normals.clear()
    sorted_normals.sort()
    shares_of = np.concatenate(shares)
    return Pixels(sorted_normals, masks.size - joined.size, joined[order], shares_of[order], image_of[order], regions)


def _region_pixels(image: Array, mask: NDArray[np.bool_]) -> tuple[Array, Floats, int]:
    """Return the anomalous scores of one image, 1 / size of each one's 8-connected region, and the regions' number."""
    from scipy import ndimage  # takes longer to import than many a table to write; tables need the averages alone

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    labelled, count = ndimage.label(mask[box], EIGHT_CONNECTED)
    region = labelled[mask[box]]
    return image[box][mask[box]], 1.0 / np.bincount(region)[region], int(count)
