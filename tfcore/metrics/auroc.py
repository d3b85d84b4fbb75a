"""Image metrics: AUROC, average precision and the largest F1."""

import numpy as np
from numpy.typing import NDArray

from tfcore.metrics.pixels import Array, Floats
from tfcore.runtime.errors import UserError


def checked_labels(labels: Array) -> NDArray[np.uint8]:
    """Return labels (N) as 0 and 1 with both classes present, or raise `UserError`."""
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise UserError(f"labels have the shape {labels.shape}: (images,) is needed")
    if not np.isin(labels, (0, 1)).all():
        raise UserError("labels must be 0 (normal) or 1 (anomalous)")
    for value, name in ((0, "normal"), (1, "anomalous")):
        if not (labels == value).any():
            raise UserError(f"there is no {name} test image: image AUROC is not defined")
    return labels.astype(np.uint8)


def checked_scores(scores: Array, labels: Array) -> tuple[Array, NDArray[np.uint8]]:
    """Return finite scores (N) and labels (N) of 0 and 1 with both classes present, or raise `UserError`."""
    scores, labels = np.asarray(scores), checked_labels(labels)
    if scores.shape != labels.shape:
        raise UserError(f"image scores have the shape {scores.shape} and labels {labels.shape}: they must be equal")
    if scores.dtype.kind not in "fiu":
        raise UserError(f"image scores have the type {scores.dtype}: real numbers are needed")
    finite = np.isfinite(scores)
    if not finite.all():
        raise UserError(f"the score of image {int(np.argmin(finite))} is NaN or infinite")
    return scores, labels


def counted(scores: Array, labels: Array, counts: Floats) -> tuple[Array, Floats, Floats]:
    """Count images at every distinct score, from the highest down, image i counted ``counts[r, i]`` times.

    Returns the distinct scores (T), and the anomalous and the normal images (R, T) that score at least as much.
    """
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))  # first image of each distinct score
    anomalous = labels[order].astype(np.float64)
    hits = np.add.reduceat(counts[:, order] * anomalous, starts, axis=1).cumsum(axis=1)
    alarms = np.add.reduceat(counts[:, order] * (1 - anomalous), starts, axis=1).cumsum(axis=1)
    return scores[order][starts], hits, alarms


def weighted_metrics(scores: Array, labels: Array, counts: Floats) -> dict[str, Floats]:
    """Return image_auroc, image_ap and f1_max (R each) with image i counted ``counts[r, i]`` times; ties count half."""
    _, hits, alarms = counted(scores, labels, counts)
    positives, negatives = hits[:, -1:], alarms[:, -1:]
    new_hits, new_alarms = np.diff(hits, prepend=0), np.diff(alarms, prepend=0)
    beaten = (new_hits * (alarms - new_alarms / 2)).sum(axis=1)  # pairs in which the normal image scores higher
    precision = hits / np.maximum(hits + alarms, 1)
    return {
        "image_auroc": 1 - beaten / (positives * negatives)[:, 0],
        "image_ap": (new_hits * precision).sum(axis=1) / positives[:, 0],
        "f1_max": (2 * hits / (positives + hits + alarms)).max(axis=1),
    }


def image_values(scores: Array, labels: Array) -> dict[str, float]:
    """Return image_auroc, image_ap (average precision) and f1_max of image scores (N), all in [0, 1].

    Equal to scikit-learn's. f1_max is the largest F1 over all thresholds: it uses the test labels.
    """
    scores, labels = checked_scores(scores, labels)
    values = weighted_metrics(scores, labels, np.ones((1, labels.size)))
    return {name: float(value[0]) for name, value in values.items()}


def image_auroc(scores: Array, labels: Array) -> float:
    """Return the area under the ROC curve of image scores (N), in [0, 1]; ties count half."""
    return image_values(scores, labels)["image_auroc"]


def f1_threshold(scores: Array, labels: Array) -> float:
    """Return the lowest score called anomalous where F1 is largest.

    It is chosen on the test labels: an upper bound for reporting, never a working point.
    """
    scores, labels = checked_scores(scores, labels)
    thresholds, hits, alarms = counted(scores, labels, np.ones((1, labels.size)))
    return float(thresholds[np.argmax(2 * hits / (hits[:, -1:] + hits + alarms))])
