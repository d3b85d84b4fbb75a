"""AUPRO: this project's way against the baseline, alternately in one run, in time and extra memory.

The baseline is what MVTec's evaluation does: sort all pixels of all images by score, and accumulate false positives
and region overlap along the sorted list.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.measure import NumpyMemory, Row, compare, report
from tfcore.metrics.aupro import aupro
from tfcore.runs.record import device_name

Array = NDArray[Any]
SIZES = ((200, 224), (200, 256), (1000, 224))


def baseline_aupro(maps: Array, masks: Array, limit: float = 0.3) -> float:
    """Compute AUPRO by a full sort of all pixels."""
    false_positives = np.zeros(maps.shape, dtype=np.uint32)
    overlap = np.zeros(maps.shape, dtype=np.float64)
    regions = 0
    for index, mask in enumerate(masks):
        labelled, count = ndimage.label(mask, np.ones((3, 3), dtype=int))
        false_positives[index][labelled == 0] = 1
        for region in range(1, count + 1):
            inside = labelled == region
            overlap[index][inside] = 1 / inside.sum()
        regions += count
    normals = int(false_positives.sum(dtype=np.int64))
    order = np.argsort(maps, axis=None).astype(np.uint32)[::-1]
    scores = maps.ravel()[order]
    false_positives, overlap = false_positives.ravel()[order], overlap.ravel()[order]
    del order
    last_of_ties = np.append(np.diff(scores) != 0, True)
    del scores
    np.cumsum(false_positives, out=false_positives)
    np.cumsum(overlap, out=overlap)
    fpr = np.append(0.0, false_positives[last_of_ties] / normals)
    del false_positives
    pro = np.append(0.0, overlap[last_of_ties] / regions)
    return _area(fpr, pro, limit) / limit


def _area(x: Array, y: Array, limit: float) -> float:
    end = int(np.searchsorted(x, limit, side="right"))
    area = float(np.trapezoid(y[:end], x[:end]))
    if end < x.size and x[end - 1] < limit:
        at_limit = y[end - 1] + (y[end] - y[end - 1]) * (limit - x[end - 1]) / (x[end] - x[end - 1])
        area += (limit - x[end - 1]) * (y[end - 1] + at_limit) / 2
    return area


def made_up(count: int, side: int, seed: int = 0) -> tuple[Array, Array]:
    """Return maps (N, S, S) float32 and masks bool: half the images have one to four elliptic regions."""
    generator = np.random.default_rng(seed)
    maps = generator.gamma(0.5, size=(count, side, side)).astype(np.float32)
    maps = ndimage.uniform_filter(maps, (0, 5, 5))
    masks = np.zeros(maps.shape, dtype=bool)
    rows, columns = np.mgrid[:side, :side]
    for mask in masks[::2]:
        for _ in range(generator.integers(1, 5)):
            row, column = generator.integers(0, side, 2)
            height, width = generator.integers(side // 50 + 1, side // 10, 2)
            mask |= ((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 < 1
    maps += masks * generator.random(maps.shape, dtype=np.float32)
    return maps, masks


def run(out: Path | None, repeats: int, sizes: Sequence[tuple[int, int]] = SIZES) -> list[Row]:
    """Measure both ways in turn on made-up maps of each size (count, side)."""
    rows = [measured(count, side, repeats) for count, side in sizes]
    report(rows, {"device": device_name("cpu")}, out)
    return rows


def measured(count: int, side: int, repeats: int) -> Row:
    """Return the row of one size: memory is what NumPy allocates beside the inputs; and how far the results differ."""
    maps, masks = made_up(count, side)
    results: list[float] = []
    ways = (lambda: results.append(baseline_aupro(maps, masks)), lambda: results.append(aupro(maps, masks)))
    row = compare("AUPRO", *ways, count, repeats, memory=NumpyMemory)
    return {"maps": count, "side": side} | row | {"difference": abs(results[0] - results[-1])}
