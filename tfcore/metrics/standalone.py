"""Scores of anybody's own maps, from ``.npy`` files."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tfcore.metrics.auroc import f1_threshold
from tfcore.metrics.pixels import Array
from tfcore.metrics.score import Bootstrap, maximum, score_maps
from tfcore.runtime.errors import UserError


def score_files(
    maps: Path,
    masks: Path,
    labels: Path | None = None,
    scores: Path | None = None,
    fpr_limit: float = 0.3,
    resamples: int = 2000,
    confidence: float = 0.95,
) -> str:
    """Return the metrics of maps (N, H, W) against masks (N, H, W) as JSON text, values in [0, 1].

    ``labels`` (N) default to "the mask has an anomalous pixel", image ``scores`` (N) to each map's maximum.
    """
    if not 0 < confidence < 1:
        raise UserError(f"confidence: {confidence} is not between 0 and 1")
    own_maps, own_masks = _load(maps), _load(masks)
    own_labels = None if labels is None else _load(labels)
    own_scores = None if scores is None else _load(scores)
    metrics = score_maps(own_maps, own_masks, own_labels, own_scores, fpr_limit, Bootstrap(resamples, confidence))
    image_labels = (own_masks != 0).any(axis=(1, 2)) if own_labels is None else own_labels
    threshold = f1_threshold(maximum(own_maps) if own_scores is None else own_scores, image_labels)
    report: dict[str, Any] = {
        "images": len(own_maps),
        "anomalous_images": int(np.count_nonzero(image_labels)),
        "size": list(own_maps.shape[1:]),
        "fpr_limit": fpr_limit,
        "resamples": resamples,
        "confidence": confidence,
        "metrics": {metric.name: {"value": metric.value, "low": metric.low, "high": metric.high} for metric in metrics},
        "f1_max_threshold": {"value": threshold, "note": "chosen on the test labels: an upper bound, no working point"},
    }
    return json.dumps(report, indent=2)


def _load(path: Path) -> Array:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read as a NumPy array (.npy)") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: an archive of arrays; save one array as .npy")
    return array
