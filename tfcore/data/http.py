"""One file over HTTP, resumed where an earlier attempt stopped; made for pooch's ``downloader`` argument."""

import fcntl
import re
import shutil
import time
from pathlib import Path
from typing import Any, BinaryIO

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from tfcore.errors import UserError

CHUNK = 1 << 18


class WrongSizeError(ValueError):
    """The server offers a file of another size than expected: another file, or an error page."""


class ResumingDownloader:
    """Download into a ``.part`` file beside the output, which stays when a download breaks off.

    A broken connection is tried again, from where it stopped, until ``attempts`` in a row bring nothing; ``timeout``
    is in seconds without a byte. With ``resume`` false a part left by an earlier process is not used: without a hash
    nobody would notice that the file has changed since.
    """

    def __init__(
        self, name: str, size: int | None, resume: bool = True, attempts: int = 5, timeout: float = 30, pause: float = 2
    ) -> None:
        self.name, self.size, self.resume = name, size, resume
        self.attempts, self.timeout, self.pause = attempts, timeout, pause
        self.resumed = False  # whether the last file began with bytes of an earlier call

    def __call__(self, url: str, output_file: str, _pooch: Any, check_only: bool = False) -> None:
        """Download ``url`` to ``output_file``; raises `requests.RequestException` or `WrongSizeError`."""
        part = Path(_pooch.path if _pooch is not None else Path(output_file).parent) / f"{self.name}.part"
        with part.open("ab") as file:
            _lock(file, part)
            if not self.resume:
                file.truncate(0)
            self.resumed = file.tell() > 0
            self._fill(url, file)
        part.replace(output_file)

    def _fill(self, url: str, file: BinaryIO) -> None:
        fruitless, validator = 0, None
        with _progress() as progress:
            task = progress.add_task(self.name, total=self.size, completed=file.tell())
            while True:
                before = file.tell()
                try:
                    validator = self._request(url, file, validator, progress, task)
                    return
                except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                    fruitless = fruitless + 1 if file.tell() <= before else 1
                    if fruitless >= self.attempts:
                        raise
                    time.sleep(self.pause * fruitless)
