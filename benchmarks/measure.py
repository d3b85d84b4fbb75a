"""Measuring two ways alternately: medians, peak memory, the device's peak, a table and a CSV."""

import gc
import statistics
import threading
import time
import tracemalloc
from collections.abc import Callable
from functools import cache
from pathlib import Path

import psutil
import torch
from tabulate import tabulate

from tfcore.runtime.device import peak_operations, synchronise
from tfcore.runtime.files import write_csv

Row = dict[str, str | int | float | None]
CPU = torch.device("cpu")


class PeakMemory:
    """The most memory that a block takes in addition, in bytes: the GPU's allocations, or the process sampled."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.bytes = device, 0

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
            return self
        gc.collect()  # what is freed during the block would be subtracted from what it takes
        self._before = psutil.Process().memory_info().rss
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self._before
        else:
            self._done.set()
            self._thread.join()

    def _sample(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.01):
            self.bytes = max(self.bytes, process.memory_info().rss - self._before)


class NumpyMemory(PeakMemory):
    """The most memory that NumPy allocates in a block: exact, however short the block is."""

    def __enter__(self) -> "NumpyMemory":
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


def seconds_of(work: Callable[[], object], device: torch.device = CPU) -> tuple[float, float]:
    """Return how long a piece of work takes, the device's part included, and its CPU time."""
    synchronise(device)
    start, cpu = time.perf_counter(), time.process_time()
    work()
    synchronise(device)
    return time.perf_counter() - start, time.process_time() - cpu


def compare(
    name: str,
    baseline: Callable[[], object],
    optimised: Callable[[], object],
    images: int,
    repeats: int,
    device: torch.device = CPU,
    operations: float | None = None,
    memory: type[PeakMemory] | None = None,
) -> Row:
    """Measure both ways in turn, after a warm-up of each and a call that gives its memory; return a row.

    The memory is not that of the first call, in which libraries try their kernels and optimisers make their state.
    ``images`` and ``operations`` are those of one call. The ratio is the median of the ratios of the pairs;
    ``cpu_time_ratio`` is that of the CPU time, which other work on a busy machine disturbs less. None on a GPU.
    """
    peaks = []
    for way in (baseline, optimised):
        way()
        with (memory or PeakMemory)(device) as peak:
            way()
            synchronise(device)
        peaks.append(peak.bytes / 2**30)
    pairs = [(seconds_of(baseline, device), seconds_of(optimised, device)) for _ in range(repeats)]
    slow, quick = (statistics.median(pair[way][0] for pair in pairs) for way in (0, 1))
    cpu_time = statistics.median(a[1] / max(b[1], 1e-9) for a, b in pairs)
    limit, source = device_peak(device) if operations else (None, None)
    return {
        "what": name,
        "baseline_s": slow,
        "optimised_s": quick,
        "ratio": statistics.median(a[0] / b[0] for a, b in pairs),
        "cpu_time_ratio": cpu_time if device.type == "cpu" else None,
        "baseline_images_per_s": images / slow,
        "optimised_images_per_s": images / quick,
        "optimised_operations_per_s": operations / quick if operations else None,
        "share_of_peak": operations / quick / limit if operations and limit else None,
        "peak": source,
        "baseline_gib": peaks[0],
        "optimised_gib": peaks[1],
        "repeats": repeats,
    }


@cache
def device_peak(device: torch.device) -> tuple[float, str]:
    """Return the device's peak in operations per second: the data sheet's bf16 peak, else a large matrix product's.

    Measured once in a run, so that all of its rows are shares of the same peak.
    """
    known = peak_operations(device)
    if known:
        return known, f"{known / 1e12:.0f} TFLOPS bf16, data sheet"
    size = 2048
    a, b = torch.randn(size, size, device=device), torch.randn(size, size, device=device)
    best = min(seconds_of(lambda: a @ b, device)[0] for _ in range(5))
    speed = 2 * size**3 / best
    return speed, f"{speed / 1e9:.0f} GFLOPS float32, measured matrix product"


def report(rows: list[Row], about: Row, out: Path | None) -> None:
    """Print the rows as a table below what they have in common, and write both to a CSV; without empty columns."""
    rows = [{name: row[name] for name in row if any(each[name] is not None for each in rows)} for row in rows]
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print(tabulate([list(row.values()) for row in rows], headers=list(rows[0]), floatfmt=".4g"))
    if out is not None:
        write_csv(out, [*about, *rows[0]], ([*about.values(), *row.values()] for row in rows))
