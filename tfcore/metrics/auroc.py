"""Image metrics: AUROC, average precision and the largest F1."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from tfcore.errors import UserError
from tfcore.metrics.pixels import Array


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


def image_auroc(scores: Array, labels: Array) -> float:
    """Return the area under the ROC curve of image scores (N), in [0, 1]; ties count half."""
    scores, labels = checked_scores(scores, labels)
    return float(roc_auc_score(labels, scores))


def image_ap(scores: Array, labels: Array) -> float:
    """Return the average precision of image scores (N), in [0, 1]."""
    scores, labels = checked_scores(scores, labels)
    return float(average_precision_score(labels, scores))


def f1_max(scores: Array, labels: Array) -> tuple[float, float]:
    """Return the largest F1 over all thresholds, in [0, 1], and the lowest score that it calls anomalous.

    The threshold is chosen on the test labels: an upper bound for reporting, never a working point.
    """
    scores, labels = checked_scores(scores, labels)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    best = int(np.argmax(f1[:-1]))  # the last point has no threshold
    return float(f1[best]), float(thresholds[best])
