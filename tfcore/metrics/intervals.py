"""Bootstrap intervals: stratified over images for a category, over categories for means.

One matrix of resampled counts (resamples, N) serves every metric: row r says how often image i was drawn. Image metrics
are recomputed exactly from sorted scores. Pixel metrics come from each image's counts on one shared grid of thresholds:
a resample is a weighted sum of images, one matrix product for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfcore.metrics.pixels import Array, Floats, Pixels, checked, images_of

CHUNK = 250  # resamples at once: bounds the memory at any number of them
FEWEST_CATEGORIES = 3  # the bootstrap over one or two values says nothing


def resampled_counts(labels: Array, resamples: int, seed: int = 0) -> Floats:
    """Draw images with replacement within normal and within anomalous ones; return counts (resamples, N)."""
    generator = np.random.default_rng(seed)
    counts = np.zeros((resamples, labels.size))
    for value in (0, 1):
        members = np.flatnonzero(labels == value)
        counts[:, members] = generator.multinomial(members.size, np.full(members.size, 1 / members.size), resamples)
    return counts


def interval(values: Floats, confidence: float) -> tuple[float, float]:
    """Return the percentile interval of resampled values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)


def resample_image_metrics(scores: Array, labels: Array, counts: Floats) -> dict[str, Floats]:
    """Return image_auroc, image_ap and f1_max of every resample, exactly, ties counted half."""
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))  # first image of each distinct score
    positive = np.add.reduceat(counts[:, order] * labels[order], starts, axis=1)
    negative = np.add.reduceat(counts[:, order] * (1 - labels[order].astype(float)), starts, axis=1)
    hits, alarms = positive.cumsum(axis=1), negative.cumsum(axis=1)
    positives, negatives = hits[:, -1:], alarms[:, -1:]
    auroc = 1 - (positive * (alarms - negative / 2)).sum(axis=1) / (positives * negatives)[:, 0]
    precision = hits / np.maximum(hits + alarms, 1)
    f1 = 2 * hits / (positives + hits + alarms)
    return {
        "image_auroc": auroc,
        "image_ap": (positive * precision).sum(axis=1) / positives[:, 0],
        "f1_max": f1.max(axis=1),
    }


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


def pixel_grid(maps: Array, masks: Array, pixels: Pixels, points: int = 400) -> PixelGrid:
    """Count pixels of each image on a grid of about 3 x ``points`` scores shared by all images.

    The grid is dense where the curves bend: in equal steps of FPR, in equal ratios near FPR 0, and in equal steps of
    the anomalous pixels. ``pixels`` were collected from the same maps and masks with all normal pixels.
    """
    maps, masks = checked(maps, masks)
    thresholds = _grid_thresholds(pixels, points)
    counts = np.empty((2, len(maps), thresholds.size + 1))
    overlap = np.zeros(counts.shape[1:])
    by_image = np.argsort(pixels.image, kind="stable")  # within an image, still by ascending score
    bounds = np.searchsorted(pixels.image[by_image], np.arange(len(maps) + 1))
    for index, image in enumerate(images_of(maps)):
        normals = np.sort(image[~masks[index]])
        counts[0, index] = _counts_not_below(normals, thresholds)
        own = by_image[bounds[index] : bounds[index + 1]]
        counts[1, index] = _counts_not_below(pixels.scores[own], thresholds)
        from_top = np.append(0.0, pixels.shares[own][::-1].cumsum())
        overlap[index] = from_top[counts[1, index].astype(np.int64)]
    return PixelGrid(counts[0], counts[1], overlap, pixels.regions.astype(np.float64))


def _grid_thresholds(pixels: Pixels, points: int) -> Array:
    normals, scores = pixels.normals, pixels.scores
    ranks = np.concatenate(
        [np.linspace(0, normals.size - 1, points), np.geomspace(1, normals.size, points) - 1]
    )  # counted from the highest
    picked = normals[normals.size - 1 - np.unique(ranks.astype(np.int64))]
    anomalous = scores[np.unique(np.linspace(0, scores.size - 1, points).astype(np.int64))]
    lowest = min(normals[0], scores[0])
    return np.unique(np.concatenate([picked, anomalous, [lowest]]))[::-1]


def _counts_not_below(ascending: Array, thresholds: Array) -> NDArray[np.int64]:
    counts = ascending.size - np.searchsorted(ascending, thresholds, side="left")
    return np.append(0, counts)


def resample_pixel_metrics(grid: PixelGrid, counts: Floats, fpr_limit: float) -> dict[str, Floats]:
    """Return aupro, pixel_auroc and pixel_ap of every resample, on the grid.

    A resample without any region, possible where few images have one, is left out of all three.
    """
    parts = [
        _pixel_metrics_on_grid(grid, counts[start : start + CHUNK], fpr_limit) for start in range(0, len(counts), CHUNK)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _pixel_metrics_on_grid(grid: PixelGrid, counts: Floats, fpr_limit: float) -> dict[str, Floats]:
    counts = counts[counts @ grid.regions > 0]
    alarms, hits = counts @ grid.alarms, counts @ grid.hits
    fpr, tpr = alarms / alarms[:, -1:], hits / hits[:, -1:]
    pro = counts @ grid.overlap / (counts @ grid.regions)[:, None]
    precision = hits / np.maximum(alarms + hits, 1)
    precision[:, 0] = precision[:, 1]  # above all scores nothing is called anomalous
    middle = (precision[:, 1:] + precision[:, :-1]) / 2
    return {
        "aupro": area_to_limit(fpr, pro, fpr_limit) / fpr_limit,
        "pixel_auroc": area_to_limit(fpr, tpr, 1.0),
        "pixel_ap": (np.diff(tpr) * middle).sum(axis=1),
    }


def area_to_limit(x: Floats, y: Floats, limit: float) -> Floats:
    """Integrate polygons (R, T), x ascending from 0, from 0 to ``limit``, with a straight line at the limit."""
    width = np.diff(x)
    inside = np.clip(limit - x[:, :-1], 0, width)
    slope = np.divide(np.diff(y), width, out=np.zeros_like(width), where=width > 0)
    return np.asarray((inside * (y[:, :-1] + slope * inside / 2)).sum(axis=1))


def mean_interval(
    groups: Sequence[Sequence[float]], confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """Return the bootstrap interval of a mean of group means, categories resampled within their group (dataset).

    None where a group has fewer than three categories.
    """
    if resamples == 0 or any(len(group) < FEWEST_CATEGORIES for group in groups):
        return None
    generator = np.random.default_rng(seed)
    means = [np.asarray(group)[generator.integers(0, len(group), (resamples, len(group)))].mean(1) for group in groups]
    return interval(np.mean(means, axis=0), confidence)


def over_seeds(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, sd (sample standard deviation, None for one seed) and n of a metric over seeds."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": spread, "n": len(values)}


def all_intervals(resampled: Mapping[str, Floats], confidence: float) -> dict[str, tuple[float, float]]:
    """Return the interval of each metric."""
    return {name: interval(values, confidence) for name, values in resampled.items()}
