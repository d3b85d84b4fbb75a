"""Time of image AUROC on the whole λ x kernel grid, for all categories at the sizes of their test sets."""

import time
from pathlib import Path

import numpy as np

from tfcore.methods.registry import load_settings
from tfcore.metrics.auroc import image_auroc
from tfcore.metrics.maps import image_score_grid


def run(params: Path = Path("params.yaml"), side: int = 224) -> float:
    """Print and return the seconds that the grid takes on made-up maps (side x side), one category after the other."""
    settings = load_settings(params)
    lambdas, kernels = settings.sweeps.lambda_, settings.sweeps.kernel
    counts = [counts for dataset in settings.datasets.values() for counts in dataset.counts.values()]
    disc, recon = np.random.default_rng(0).random(
        (2, max(good + bad for _, good, bad in counts), side, side), np.float32
    )
    wall, cpu = time.perf_counter(), time.process_time()
    for _, good, bad in counts:
        scores = image_score_grid(disc[: good + bad], recon[: good + bad], lambdas, kernels)
        labels = np.repeat([0, 1], [good, bad])
        for on_point in scores.reshape(-1, labels.size):
            image_auroc(on_point, labels)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    images = sum(good + bad for _, good, bad in counts)
    points = len(lambdas) * len(kernels)
    print(f"{len(counts)} categories, {images} maps of {side} px, {points} points: {wall:.0f} s, processor {cpu:.0f} s")
    return wall


if __name__ == "__main__":
    run()
