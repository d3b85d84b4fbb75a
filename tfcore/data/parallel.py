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

    ``workers`` are threads, ``None`` for one per available core. The first error stops the rest and is raised.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    pool = ThreadPoolExecutor(workers or len(os.sched_getaffinity(0)))
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            return list(progress.track(pool.map(work, items), total=len(items), description=title))
    finally:
        pool.shutdown(cancel_futures=True)
