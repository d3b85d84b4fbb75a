"""The log of a training: loss terms are read back from the device every few steps, averaged, shown and written."""

import csv
import math
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from tfcore.runtime.errors import UserError
from tfcore.runtime.files import replacing


class TrainingLog:
    """Rows of (step, epoch, mean of every loss term, learning rate, images per second), in memory and in a file.

    Used as a context manager around the steps: it shows a progress bar on a terminal, else a line per row.
    """

    def __init__(self, path: Path, terms: list[str], steps: int, steps_per_epoch: int) -> None:
        self.path, self.terms, self.steps, self.steps_per_epoch = path, terms, steps, steps_per_epoch
        self.columns = ["step", "epoch", *terms, "learning_rate", "images_per_second"]
        self.rows: list[list[float]] = []
        self._unread: list[tuple[Tensor, float]] = []  # loss terms and learning rate by step
        self._window: list[list[float]] = []
        self._next = 0  # step of the first unread tensor
        self._rate = math.nan
        self._images = self._steps = 0  # since the last row, or since resuming
        self._clock = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> "TrainingLog":
        self.write(self.path)
        self._clock = time.monotonic()
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._bar.start()
            self._bar.add_task("training", total=self.steps, completed=self._next)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, terms: Tensor, rate: float, images: int) -> None:
        """Note the loss terms (len(terms),) of one step, unread, its learning rate and its number of images."""
        self._unread.append((terms, rate))
        self._rate = rate
        self._images += images
        self._steps += 1
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])

    def read_back(self) -> None:
        """Read the noted terms from the device; raises `UserError` when one of them is not finite."""
        if not self._unread:
            return
        terms, rates = zip(*self._unread, strict=True)
        for values, rate in zip(torch.stack(terms).tolist(), rates, strict=True):
            if not all(math.isfinite(value) for value in values):
                shown = ", ".join(f"{name} {value:.4g}" for name, value in zip(self.terms, values, strict=True))
                raise UserError(
                    f"training stopped: the loss of step {self._next + 1} is not finite ({shown}; learning rate "
                    f"{rate:.3g}); lower train.learning_rate or set train.gradient_clip"
                )
            self._window.append(values)
            self._next += 1
        self._unread.clear()

    def write_row(self) -> None:
        """Add the row of the steps since the last one to the file."""
        self.read_back()
        means = [sum(column) / len(column) for column in zip(*self._window, strict=True)]
        now = time.monotonic()
        seconds = max(now - self._clock, 1e-9)
        speed = self._images / seconds
        minutes_left = (self.steps - self._next) * seconds / self._steps / 60
        epoch = -(-self._next // self.steps_per_epoch)
        self.rows.append([self._next, epoch, *means, self._rate, speed])
        self._window, self._images, self._steps, self._clock = [], 0, 0, now
        self.path.parent.mkdir(parents=True, exist_ok=True)  # a second writer may have finished and tidied up
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(_cells(self.rows[-1]))
        if self._bar is None:
            self.say(
                f"step {self._next} of {self.steps}, epoch {epoch}, loss {means[-1]:.4f}, {speed:.1f} images/s, "
                f"{minutes_left:.1f} min left"
            )
        else:
            self._bar.update(self._bar.task_ids[0], description=f"loss {means[-1]:.4f}")

    def write(self, path: Path) -> None:
        """Write the whole log as CSV."""
        with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            writer.writerows(_cells(row) for row in self.rows)

    def say(self, line: str) -> None:
        """Print a line on stderr."""
        print(line, file=sys.stderr, flush=True)

    def state(self) -> dict[str, Any]:
        """Return the rows and what was read back since the last of them; call `read_back` before."""
        return {"rows": self.rows, "window": self._window, "next": self._next}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue a log; rows that were written after the state are gone from the file with the next `write`."""
        self.rows, self._window, self._next = state["rows"], state["window"], state["next"]


def _cells(row: list[float]) -> list[str]:
    return [str(int(value)) if place < 2 else f"{value:.6g}" for place, value in enumerate(row)]
