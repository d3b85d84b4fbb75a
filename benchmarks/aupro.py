"""AUPRO: this project's way against the plain one, alternately in one run, in time and extra memory.

The plain way is what MVTec's evaluation does: sort all pixels of all images by score, and accumulate false positives
and region overlap along the sorted list.
"""

import csv
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tfcore.metrics.aupro import aupro
from tfcore.runs.record import device_name
from tfcore.runtime.files import replacing

Array = NDArray[Any]
SIZES = ((200, 224), (200, 256), (1000, 224))
COLUMNS = (
    "maps",
    "side",
    "plain_seconds",
    "fast_seconds",
    "times_faster",
    "plain_images_per_s",
    "fast_images_per_s",
    "plain_mib",
    "fast_mib",
    "memory_share",
    "difference",
)


def plain_aupro(maps: Array, masks: Array, limit: float = 0.3) -> float:
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


def run(
    sizes: Sequence[tuple[int, int]] = SIZES, repeats: int = 5, out: Path | str | None = None
) -> list[dict[str, float]]:
    """Measure both ways in turn on made-up maps of each size (count, side); print a table, write a CSV to ``out``.

    The table stands below the device's name, which the CSV has in its first column.
    Seconds are medians over ``repeats``; MiB are the peak of what NumPy allocates beside the inputs.
    """
    rows, device = [], device_name("cpu")
    for count, side in sizes:
        rows.append(_measured(count, side, repeats))
        if len(rows) == 1:
            print(f"device {device}, repeats {repeats}")
            print("  ".join(COLUMNS))
        print("  ".join(f"{value:{len(name)}.4g}" for name, value in rows[-1].items()), flush=True)
    if out is not None:
        with replacing(out) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ("device", *COLUMNS), lineterminator="\n")
            writer.writeheader()
            writer.writerows({"device": device, **row} for row in rows)
    return rows


def _measured(count: int, side: int, repeats: int) -> dict[str, float]:
    maps, masks = made_up(count, side)
    values = [function(maps, masks) for function in (plain_aupro, aupro)]  # also warms up
    seconds = np.array([[_seconds(way, maps, masks) for way in (plain_aupro, aupro)] for _ in range(repeats)])
    plain, fast = (median(column) for column in seconds.T.tolist())
    plain_memory, fast_memory = (_extra_mib(way, maps, masks) for way in (plain_aupro, aupro))
    numbers = (
        plain,
        fast,
        plain / fast,
        count / plain,
        count / fast,
        plain_memory,
        fast_memory,
        fast_memory / plain_memory,
    )
    return dict(zip(COLUMNS, (count, side, *numbers, abs(values[0] - values[1])), strict=True))


def _seconds(function: Callable[[Array, Array], float], maps: Array, masks: Array) -> float:
    start = time.perf_counter()
    function(maps, masks)
    return time.perf_counter() - start


def _extra_mib(function: Callable[[Array, Array], float], maps: Array, masks: Array) -> float:
    tracemalloc.start()
    function(maps, masks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


if __name__ == "__main__":
    run()
