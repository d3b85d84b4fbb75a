"""What half precision of the stored maps does to the metrics, as masks saturate: reason to store float32."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tfcore.methods.transfusion.maps import final_maps
from tfcore.metrics.score import Bootstrap, score_maps

Array = NDArray[Any]
LOGITS = ((1, -4), (3, -4), (6, 0), (3, 6), (6, 10))  # factor and offset: from soft masks to saturated ones
POINTS = ((0.95, 7), (1.0, 7), (1.0, 1))  # λ and kernel


def made_up(factor: float, offset: float, count: int = 160, side: int = 128) -> tuple[Array, Array, Array]:
    """Return M_disc (mean of 20 sigmoid masks), M_recon and the ground truth (N, S, S)."""
    generator = np.random.default_rng(0)
    masks = np.zeros((count, side, side), dtype=bool)
    for mask in masks[count // 3 :]:
        for _ in range(generator.integers(1, 4)):
            height, width = generator.integers(4, side // 6, 2)
            row, column = generator.integers(0, side - height), generator.integers(0, side - width)
            mask[row : row + height, column : column + width] = True
    noise = ndimage.gaussian_filter(generator.standard_normal(masks.shape), (0, 3, 3))
    logits = 1.2 * noise / noise.std() + 3 * ndimage.gaussian_filter(masks.astype(float), (0, 2, 2))
    disc = np.zeros(masks.shape)
    for _ in range(20):
        disc += 1 / (1 + np.exp(-(logits * factor + offset + 0.3 * generator.standard_normal(masks.shape)))) / 20
    recon = generator.gamma(0.5, 0.004, masks.shape) + 0.05 * masks * generator.random(masks.shape)
    return disc.astype(np.float32), recon.astype(np.float32), masks


def run() -> list[dict[str, float]]:
    """Print each metric with float32 maps, in per cent, and how far float16 maps move it, in points."""
    rows = []
    for factor, offset in LOGITS:
        disc, recon, masks = made_up(factor, offset)
        for lambda_, kernel in POINTS:
            full = _scores(disc, recon, masks, lambda_, kernel)
            half = _scores(disc.astype(np.float16), recon.astype(np.float16), masks, lambda_, kernel)
            moved = {f"{name} moved": half[name] - full[name] for name in full}
            row = {"above 0.999": float((disc > 0.999).mean()), "lambda": lambda_, "kernel": kernel} | full | moved
            rows.append({name: row[name] for name in sorted(row, key=_order)})
            if len(rows) == 1:
                print(" | ".join(rows[0]))
            print(" | ".join(f"{value:.3f}" for value in rows[-1].values()), flush=True)
    return rows


def _scores(disc: Array, recon: Array, masks: Array, lambda_: float, kernel: int) -> dict[str, float]:
    metrics = score_maps(final_maps(disc, recon, lambda_, kernel), masks, bootstrap=Bootstrap(0), aupro_only=True)
    return {metric.name: 100 * metric.value for metric in metrics if metric.name in ("image_auroc", "aupro")}


def _order(name: str) -> tuple[bool, bool, bool]:
    return "aupro" in name, "image_auroc" in name, name.endswith("moved")


if __name__ == "__main__":
    run()
