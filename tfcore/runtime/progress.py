"""How far a download or an extraction is: a bar on a terminal, a line every half minute in a log file."""

import sys
import time

from rich import progress as rich
from rich.console import Console

LOG_SECONDS = 30.0


class Progress:
    """Shows bytes, speed and time left on stderr; to be used with ``with``."""

    def __init__(self, name: str, size: int | None, log_seconds: float = LOG_SECONDS) -> None:
        columns = (rich.BarColumn(), rich.DownloadColumn(), rich.TransferSpeedColumn(), rich.TimeRemainingColumn())
        console = Console(stderr=True)
        self._bar = rich.Progress(rich.TextColumn(name), *columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(name, total=size)
        self._name, self._log_seconds = name, log_seconds
        self._start: tuple[float, int] | None = None
        self._logged = time.monotonic()

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, done: int, total: int | None) -> None:
        """Tell that ``done`` of ``total`` bytes are there."""
        if not self._bar.disable:
            self._bar.update(self._task, completed=done, total=total)
            return
        now = time.monotonic()
        self._start = self._start or (now, done)
        if now - self._logged < self._log_seconds:
            return
        self._logged = now
        speed = (done - self._start[1]) / max(now - self._start[0], 1e-6)
        left = f", {(total - done) / speed / 60:.0f} min left" if total is not None and speed > 0 else ""
        whole = f" of {total / 1e6:.0f}" if total is not None else ""
        print(f"{self._name}: {done / 1e6:.0f}{whole} MB, {speed / 1e6:.1f} MB/s{left}", file=sys.stderr, flush=True)
