"""Scores of final maps: all metrics at once, with their intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfcore.metrics.aupro import aupro_of, check_limit, pixel_ap_of, pixel_auroc_of
from tfcore.metrics.auroc import checked_labels, checked_scores, image_values, weighted_metrics
from tfcore.metrics.intervals import interval, pixel_grid, resample_aupro, resample_roc_and_ap, resampled_counts
from tfcore.metrics.maps import MapsFile
from tfcore.metrics.pixels import Array, checked, collect
from tfcore.metrics.rows import Metric
from tfcore.runtime.errors import UserError


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: number of resamples (0 = none), coverage, seed."""

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0


def maximum(final: Array) -> Array:
    """Return the usual score of each image: the maximum of its final map."""
    return np.asarray(final.max(axis=(1, 2)))


def image_metrics(scores: Array, labels: Array, bootstrap: Bootstrap) -> list[Metric]:
    """Score images: image_auroc, image_ap and f1_max, with bootstrap intervals."""
    scores, labels = checked_scores(scores, labels)
    values = image_values(scores, labels)
    counts = resampled_counts(labels, bootstrap.resamples, bootstrap.seed)
    resampled = weighted_metrics(scores, labels, counts)
    return [Metric(name, value, *interval(resampled[name], bootstrap.confidence)) for name, value in values.items()]


def pixel_metrics(
    maps: Array, masks: Array, labels: Array, fpr_limit: float, bootstrap: Bootstrap, aupro_only: bool = False
) -> list[Metric]:
    """Score final maps (N, H, W) against masks: aupro, pixel_auroc and pixel_ap, with bootstrap intervals.

    ``labels`` (N) are the strata of the bootstrap.
    """
    check_limit(fpr_limit)
    pixels = collect(maps, masks)
    values = {"aupro": aupro_of(pixels, fpr_limit)}
    if not aupro_only:
        values |= {"pixel_auroc": pixel_auroc_of(pixels), "pixel_ap": pixel_ap_of(pixels)}
    if not bootstrap.resamples:
        return [Metric(name, value) for name, value in values.items()]
    counts = resampled_counts(labels, bootstrap.resamples, bootstrap.seed)
    grid = pixel_grid(maps, masks, pixels)
    resampled = [resample_aupro(grid, counts, fpr_limit)]
    if not aupro_only:
        resampled += resample_roc_and_ap(grid, counts)
    return [
        Metric(name, value, *interval(drawn, bootstrap.confidence))
        for (name, value), drawn in zip(values.items(), resampled, strict=True)
    ]


def score_maps(
    maps: Array,
    masks: Array,
    labels: Array | None = None,
    scores: Array | None = None,
    fpr_limit: float = 0.3,
    bootstrap: Bootstrap = Bootstrap(),
    aupro_only: bool = False,
) -> list[Metric]:
    """Score any method's final maps (N, H, W) against masks (N, H, W): every metric, values in [0, 1].

    ``labels`` (N) default to "has an anomalous pixel", image ``scores`` (N) to the maximum of each map. An image
    labelled normal whose mask has anomalous pixels is refused; the reverse is allowed (a defect outside the crop).
    ``aupro_only`` leaves the other pixel metrics out.
    """
    maps, masks = checked(maps, masks)
    has_region = np.asarray(masks.any(axis=(1, 2)))
    labels = checked_labels(has_region if labels is None else labels)
    scores = maximum(maps) if scores is None else scores
    if labels.shape != has_region.shape:
        raise UserError(f"labels have the shape {labels.shape} for {len(maps)} maps")
    contradiction = np.flatnonzero(has_region & (labels == 0))
    if contradiction.size:
        raise UserError(f"image {contradiction[0]} is labelled normal, but its mask has anomalous pixels")
    # Pixels first: a map with a NaN is named as such before its image score is.
    on_pixels = pixel_metrics(maps, masks, labels, fpr_limit, bootstrap, aupro_only)
    return image_metrics(scores, labels, bootstrap) + on_pixels


def score_named(
    source: MapsFile, final: Array, scores: Array, settings: Mapping[str, Any], aupro_only: bool = False
) -> list[Metric]:
    """Score final maps and image scores made from ``source``; an error names its file.

    ``settings`` are the section ``score`` of the run.
    """
    bootstrap = Bootstrap(settings["resamples"], settings["confidence"])
    masks = source.masks(settings["mask_rule"])
    try:
        return score_maps(final, masks, source.labels, scores, settings["fpr_limit"], bootstrap, aupro_only)
    except UserError as error:
        raise UserError(f"{source.path}: {error}") from error
