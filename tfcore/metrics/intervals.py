"""Bootstrap intervals: stratified over images for a category, over categories for means.

One matrix of resampled counts (resamples, N) serves every metric: row r says how often image i was drawn. Image metrics
are recomputed exactly (`tfcore.metrics.auroc.weighted_metrics`). Pixel metrics come from each image's counts on one
shared grid of thresholds: a resample is a weighted sum of images, one matrix product for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tfcore.metrics.pixels import Array, Floats, Pixels, checked, images_of, not_below

CHUNK = 64  # resamples at once: what they need stays in the processor's cache
NO_SPREAD = 1e-12
FEWEST_CATEGORIES = 3  # the bootstrap over one or two values says nothing


def resampled_counts(labels: Array, resamples: int, seed: int = 0) -> Floats:
    """Draw images with replacement within normal and within anomalous ones; return counts (resamples, N), read-only."""
    return _drawn(np.asarray(labels, dtype=np.uint8).tobytes(), resamples, seed)


@lru_cache(maxsize=2)  # all metrics and sweep points of a run share one draw
def _drawn(labels: bytes, resamples: int, seed: int) -> Floats:
    strata = np.frombuffer(labels, dtype=np.uint8)
    generator = np.random.default_rng(seed)
    counts = np.zeros((resamples, strata.size))
    for value in (0, 1):
        members = np.flatnonzero(strata == value)
        counts[:, members] = generator.multinomial(members.size, np.full(members.size, 1 / members.size), resamples)
    counts.setflags(write=False)
    return counts


def interval(values: Floats, confidence: float) -> tuple[float | None, float | None]:
    """Return the percentile interval of resampled metrics in [0, 1], unknown where no resample differs from another.

    At an AUROC of 1 every resample is 1 as well; [1, 1] would claim a certainty that nobody has.
    """
    if values.size == 0 or np.ptp(values) < NO_SPREAD:
        return None, None
    tail = (1 - confidence) / 2
    low, high = np.clip(np.quantile(values, (tail, 1 - tail)), 0, 1)  # rounding may exceed 1 by an ulp
    return float(low), float(high)


@dataclass(frozen=True)
class PixelGrid:
    """Counts of each image at T thresholds from the highest down, the first above all scores, the last below.

    ``alarms`` (N, T): normal pixels that score at least the threshold; ``hits`` (N, T): anomalous ones;
    ``overlap`` (N, T): sum over the image's regions of the share of their pixels that do; ``regions`` (N).
    """

    alarms: Floats
    hits: Floats
    overlap: Floats
    regions: Floats


def pixel_grid(maps: Array, masks: Array, pixels: Pixels, points: int = 200) -> PixelGrid:
    """Count pixels of each image on a grid of about 3 x ``points`` scores shared by all images.

    The grid is dense where the curves bend: in equal steps of FPR, in equal ratios near FPR 0, and in equal steps of
    the anomalous pixels. ``pixels`` were collected from the same maps and masks with all normal pixels.
    """
    maps, masks = checked(maps, masks)
    thresholds = _grid_thresholds(pixels, points)
    counts = np.zeros((2, len(maps), thresholds.size + 1))
    overlap = np.zeros(counts.shape[1:])
    by_image = np.argsort(pixels.image, kind="stable")  # within an image, still by ascending score
    bounds = np.searchsorted(pixels.image[by_image], np.arange(len(maps) + 1))
    for index, image in enumerate(images_of(maps)):
        normals = np.sort(image[~masks[index]])
        counts[0, index, 1:] = not_below(normals, thresholds)
        own = by_image[bounds[index] : bounds[index + 1]]
        counts[1, index, 1:] = not_below(pixels.scores[own], thresholds)
        from_top = np.append(0.0, pixels.shares[own][::-1].cumsum())
        overlap[index] = from_top[counts[1, index].astype(np.int64)]
    return PixelGrid(counts[0], counts[1], overlap, pixels.regions.astype(np.float64))


def _grid_thresholds(pixels: Pixels, points: int) -> Array:
    normals, scores = pixels.normals, pixels.scores
    from_highest = [np.linspace(0, normals.size - 1, points), np.geomspace(1, normals.size, points) - 1]
    picked = normals[normals.size - 1 - np.unique(np.concatenate(from_highest).astype(np.int64))]
    anomalous = scores[np.unique(np.linspace(0, scores.size - 1, points).astype(np.int64))]
    lowest = min(normals[0], scores[0])
    return np.unique(np.concatenate([picked, anomalous, [lowest]]))[::-1]


def resample_aupro(grid: PixelGrid, counts: Floats, fpr_limit: float) -> Floats:
    """Return AUPRO of every resample, on the grid.

    A resample without any region, possible where few images have one, is left out.
    """
    counts = counts[counts @ grid.regions > 0]
    columns = _columns_to(grid, fpr_limit)
    alarms, overlap = grid.alarms[:, columns], grid.overlap[:, columns]
    areas = np.empty(len(counts))
    for start in range(0, len(counts), CHUNK):
        chunk = counts[start : start + CHUNK]
        fpr = chunk @ alarms / (chunk @ grid.alarms[:, -1:])
        areas[start : start + CHUNK] = area_to_limit(fpr, chunk @ overlap, fpr_limit)
    return areas / (counts @ grid.regions * fpr_limit)


def _columns_to(grid: PixelGrid, fpr_limit: float) -> slice:
    """Return the thresholds at which at least one image, hence perhaps a resample, is not beyond the limit."""
    lowest = (grid.alarms / np.maximum(grid.alarms[:, -1:], 1)).min(axis=0)
    return slice(0, min(int(np.searchsorted(lowest, fpr_limit)) + 1, lowest.size))


def resample_roc_and_ap(grid: PixelGrid, counts: Floats) -> tuple[Floats, Floats]:
    """Return pixel AUROC and pixel average precision of every resample with an anomalous pixel, on the grid."""
    counts = counts[counts @ grid.regions > 0]
    auroc, ap = np.empty((2, len(counts)))
    for start in range(0, len(counts), CHUNK):
        chunk = counts[start : start + CHUNK]
        alarms, hits = chunk @ grid.alarms, chunk @ grid.hits
        precision = hits / np.maximum(alarms + hits, 1)
        precision[:, 0] = precision[:, 1]  # above all scores nothing is called anomalous
        tpr = hits / hits[:, -1:]
        auroc[start : start + CHUNK] = np.trapezoid(tpr, alarms / alarms[:, -1:])
        ap[start : start + CHUNK] = np.trapezoid(precision, tpr)
    return auroc, ap


def area_to_limit(x: Floats, y: Floats, limit: float) -> Floats:
    """Integrate polygons (R, T), x ascending from 0, from 0 to ``limit``, with a straight line at the limit."""
    width = np.diff(x)
    inside = np.clip(limit - x[:, :-1], 0, width)
    slope = np.divide(np.diff(y), width, out=np.zeros_like(width), where=width > 0)
    return np.asarray((inside * (y[:, :-1] + slope * inside / 2)).sum(axis=1))


def mean_interval(
    groups: Sequence[Sequence[float]], confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float | None, float | None]:
    """Return the bootstrap interval of a mean of group means, categories resampled within their group (dataset).

    Unknown where a group has fewer than three categories.
    """
    if resamples == 0 or any(len(group) < FEWEST_CATEGORIES for group in groups):
        return None, None
    generator = np.random.default_rng(seed)
    means = [np.asarray(group)[generator.integers(0, len(group), (resamples, len(group)))].mean(1) for group in groups]
    return interval(np.mean(means, axis=0), confidence)


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, sd (sample standard deviation, None for one seed) and n of a metric over seeds."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": spread, "n": len(values)}
