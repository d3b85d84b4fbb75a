"""AUPRO: area under the per-region overlap, exact, without a full sort.

Definition (Bergmann et al., IJCV 2021, Section 5.2.1; the evaluation code of MVTec AD): every distinct score is a
threshold τ; FPR(τ) is the share of normal pixels of all images that score at least τ; PRO(τ) is the mean over all
8-connected ground-truth regions of the share of the region's pixels that do. The points (FPR, PRO), joined by straight
lines from (0, 0), are integrated from 0 to ``fpr_limit``, and the area is divided by ``fpr_limit``.

Let A and B be the shares of normal pixels that score above an anomalous pixel, and not below it. On the polygon that
pixel's indicator is 0 up to A, 1 from B on, and a straight line between. PRO is a weighted mean of these, so AUPRO is
the weighted mean of their areas; pixels with A ≥ limit have none, so only the highest normal scores need sorting.
"""

import numpy as np

from tfcore.metrics.pixels import Array, Floats, Pixels, collect, not_below
from tfcore.runtime.errors import UserError


def aupro(maps: Array, masks: Array, fpr_limit: float = 0.3) -> float:
    """Return AUPRO in [0, 1] of maps (N, H, W) against masks (N, H, W), non-zero = anomalous.

    Maps may be floats of any precision or integers; higher = more anomalous. Raises `UserError` for NaN, infinity,
    unequal shapes, no anomalous pixel or no normal pixel.
    """
    check_limit(fpr_limit)
    return aupro_of(collect(maps, masks, share=fpr_limit), fpr_limit)


def aupro_of(pixels: Pixels, fpr_limit: float = 0.3) -> float:
    """Return AUPRO of pixels collected with at least the highest ``fpr_limit`` of the normal ones."""
    start = int(np.searchsorted(pixels.scores, pixels.normals[0], side="left"))  # below it, A exceeds the limit
    above, not_below = pixels.ranks(start)
    areas = areas_to_limit(above / pixels.normal_count, not_below / pixels.normal_count, fpr_limit)
    total = float(np.dot(areas, pixels.shares[start:]))
    return min(1.0, total / (int(pixels.regions.sum()) * fpr_limit))  # rounding may exceed 1 by an ulp


def areas_to_limit(first: Floats, last: Floats, limit: float) -> Floats:
    """Integrate from 0 to ``limit`` the ramps that rise from 0 at ``first`` to 1 at ``last`` (both in [0, 1])."""
    whole = limit - (first + last) / 2
    width = np.maximum(last - first, np.finfo(np.float64).tiny)
    cut = np.square(limit - first) / (2 * width)
    areas = np.where(last <= limit, whole, cut)
    return np.where(first < limit, areas, 0.0)


def check_limit(fpr_limit: float) -> None:
    """Refuse a limit outside (0, 1]."""
    if not 0 < fpr_limit <= 1:
        raise UserError(f"fpr_limit: {fpr_limit} is not above 0 and at most 1")


def pixel_auroc_of(pixels: Pixels) -> float:
    """Return the pixel AUROC in [0, 1], ties counted half, of pixels collected with all normal ones."""
    above, not_below = pixels.ranks()
    return 1.0 - float((above + not_below).mean()) / (2 * pixels.normal_count)


def pixel_ap_of(pixels: Pixels) -> float:
    """Return the pixel average precision in [0, 1] of pixels collected with all normal ones.

    Every anomalous pixel contributes the precision at its own score: the same step function as scikit-learn's.
    """
    _, false_positives = pixels.ranks()
    true_positives = not_below(pixels.scores, pixels.scores)
    return float((true_positives / (true_positives + false_positives)).mean())
