"""How far approximations of AUPRO lie from the exact value, by the distribution of scores.

Each approximation evaluates the curve at some thresholds only. The common recipe takes 200 of them at equal steps from
the lowest to the highest score, drops the points beyond the limit and stretches what is left over [0, 1].
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tfcore.metrics.aupro import aupro

Array = NDArray[Any]


def curve_at(maps: Array, masks: Array, thresholds: Array) -> tuple[Array, Array]:
    """Return FPR and PRO at ascending ``thresholds``, from the highest down, with (0, 0) before."""
    normals = np.sort(maps[~masks])
    overlaps = []
    for image, mask in zip(maps, masks, strict=True):
        labelled, count = ndimage.label(mask, np.ones((3, 3)))
        overlaps += [_share_not_below(np.sort(image[labelled == region + 1]), thresholds) for region in range(count)]
    fpr = _share_not_below(normals, thresholds)[::-1]
    return np.append(0, fpr), np.append(0, np.mean(overlaps, axis=0)[::-1])


def _share_not_below(ascending: Array, thresholds: Array) -> Array:
    return 1 - np.searchsorted(ascending, thresholds, side="left") / ascending.size


def stretched(maps: Array, masks: Array, steps: int, limit: float = 0.3) -> float:
    """Approximate AUPRO by equal steps of the score; points beyond the limit are dropped, the rest is stretched."""
    thresholds = np.linspace(maps.min(), maps.max(), steps, endpoint=False)
    fpr, pro = curve_at(maps, masks, thresholds)
    kept = fpr < limit
    fpr, pro = fpr[kept], pro[kept]
    return float(np.trapezoid(pro, fpr / fpr[-1])) if fpr[-1] > 0 else float("nan")


def interpolated(maps: Array, masks: Array, thresholds: Array, limit: float = 0.3) -> float:
    """Approximate AUPRO at some thresholds, with a straight line at the limit."""
    fpr, pro = curve_at(maps, masks, thresholds)
    grid = np.append(fpr[fpr < limit], limit)
    return float(np.trapezoid(np.interp(grid, fpr, pro), grid) / limit)


def score_distributions(normal: Array, masks: Array) -> dict[str, Array]:
    """Return maps of equal ranks (equal exact AUPRO) with different tails, from standard normal noise and masks."""
    maps = normal + 1.5 * masks
    return {
        "uniform (ranks)": _ranks(maps),
        "normal": maps,
        "sigmoid, saturated": 1 / (1 + np.exp(-4 * maps)),
        "exp(x)": np.exp(maps),
        "exp(2x)": np.exp(2 * maps),
        "exp(4x)": np.exp(4 * maps),
    }


def _ranks(maps: Array) -> Array:
    ranks = np.empty(maps.size)
    ranks[np.argsort(maps, axis=None)] = np.arange(maps.size)
    return (ranks / maps.size).reshape(maps.shape)


def run(count: int = 60, side: int = 128, seed: int = 0) -> list[dict[str, Any]]:
    """Print exact and approximate AUPRO, in per cent, for maps of equal ranks and different tails."""
    from benchmarks.aupro import made_up

    masks = made_up(count, side, seed)[1]
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(masks.shape), (0, 2, 2))
    rows: list[dict[str, Any]] = []
    for name, maps in score_distributions(noise / noise.std(), masks).items():
        quantiles = np.unique(np.quantile(maps, np.linspace(0, 1, 200)))
        rows.append(
            {
                "scores": name,
                "exact": 100 * aupro(maps, masks),
                "200 equal steps, stretched": 100 * stretched(maps, masks, 200),
                "200 equal steps": 100 * interpolated(maps, masks, np.linspace(maps.min(), maps.max(), 200)),
                "5000 equal steps": 100 * interpolated(maps, masks, np.linspace(maps.min(), maps.max(), 5000)),
                "200 quantiles": 100 * interpolated(maps, masks, quantiles),
            }
        )
        if len(rows) == 1:
            print(" | ".join(rows[0]))
        print(" | ".join(f"{value:.2f}" if isinstance(value, float) else value for value in rows[-1].values()))
    return rows


if __name__ == "__main__":
    run()
