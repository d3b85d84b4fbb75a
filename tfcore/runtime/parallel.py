"""Many files at once, in threads: decoding, resizing and hashing release Python's lock."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_all(
    work: Callable[[Item], Result], items: Sequence[Item], title: str, workers: int | None = None
) -> list[Result]:
    """Do ``work`` on every item with a progress bar on stderr, and return the results in order.

    ``workers`` are threads, ``None`` for as many cores as granted. The first error stops the rest and is raised.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    pool = ThreadPoolExecutor(workers or granted_cores())
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            return list(progress.track(pool.map(work, items), total=len(items), description=title))
    finally:
        pool.shutdown(cancel_futures=True)


def granted_cores() -> int:
    """Return the cores that this process may use: as many as a scheduler says, where it does, of those there are.

    Those there are: by the process's affinity and by the quota of a container.
    """
    from joblib import cpu_count  # imported here: most stages need no threads of their own

    available: int = cpu_count()
    return min(scheduler_cores() or available, available)


def scheduler_cores() -> int:
    """Return the cores that OMP_NUM_THREADS (Snakemake sets it) or else SLURM grants, 0 where neither says."""
    for name in ("OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK"):
        first = os.environ.get(name, "").split(",")[0].strip()  # "4,1": four threads, and one within each
        if first.isdigit() and int(first):
            return int(first)
    return 0
