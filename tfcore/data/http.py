"""One file over HTTP, continued where an earlier attempt stopped; made for pooch's ``downloader`` argument."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import requests
from filelock import FileLock, Timeout

from tfcore.runtime.errors import UserError
from tfcore.runtime.progress import Progress

CHUNK = 1 << 16  # bytes; what a broken connection had sent of an unfinished chunk is lost
PASSING = {408, 425, 429, 500, 502, 503, 504}  # states of a server that may be over in a moment
BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


class WrongSizeError(requests.RequestException):
    """The server offers a file of another size than expected: another file, or an error page."""


class BusyError(requests.HTTPError):
    """The server is busy or has an error of its own: the same request may succeed later."""


@dataclass
class ResumingDownloader:
    """Downloads into the file ``part``, which stays when a download breaks off.

    A broken connection or a busy server is tried again, from where it stopped, until ``attempts`` in a row bring
    nothing; ``timeout`` is in seconds without a byte. With ``resume`` false a part left by an earlier process is not
    used: without a hash nobody would notice that the file has changed since. ``size`` is in bytes, where known.
    """

    part: Path
    size: int | None
    resume: bool
    attempts: int
    timeout: float
    pause: float
    resumed: bool = False  # whether the last file began with bytes of an earlier call

    def __call__(self, url: str, output_file: str, _pooch: Any) -> None:
        """Download ``url`` to ``output_file``; raises `requests.RequestException`."""
        with _locked(self.part), self.part.open("r+b") as file:
            if not self.resume:
                file.truncate(0)
            self.resumed = file.seek(0, 2) > 0
            with Progress(self.part.stem, self.size) as progress:
                self._fill(url, file, progress)
            self.part.replace(output_file)

    def _fill(self, url: str, file: BinaryIO, progress: Progress) -> None:
        fruitless, furthest = 0, file.tell()
        validator: dict[str, str] = {}
        while self.size is None or file.tell() != self.size:
            try:
                self._request(url, file, progress, validator)
                break
            except (*BROKEN, BusyError):
                fruitless = fruitless + 1 if file.tell() <= furthest else 1
                furthest = max(furthest, file.tell())
                if fruitless >= self.attempts:
                    raise
                time.sleep(self.pause * fruitless)

    def _request(self, url: str, file: BinaryIO, progress: Progress, validator: dict[str, str]) -> None:
        offset = file.tell()
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-"} | validator
        with requests.get(url, stream=True, timeout=self.timeout, headers=headers) as response:
            status, answered = response.status_code, response.headers
            if status == requests.codes.requested_range_not_satisfiable:
                file.truncate(file.seek(0))  # more is here than the server has: start again
                raise requests.ConnectionError("the server has a shorter file")
            if status in PASSING:
                raise BusyError(response=response)
            response.raise_for_status()
            # Servers may ignore ranges, or send the whole of a changed file.
            continued = answered.get("Content-Range", "").startswith(f"bytes {offset}-")
            start = offset if continued and status == requests.codes.partial_content else 0
            length = answered.get("Content-Length")
            total = None if length is None else start + int(length)
            self._check_total(total, start)
            file.truncate(file.seek(start))
            tag = answered.get("ETag", "W/")  # weak tags do not serve for ranges
            if version := answered.get("Last-Modified") if tag.startswith("W/") else tag:
                validator["If-Range"] = version  # a file that changes meanwhile is sent again, from its start
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                progress.update(file.tell(), total)
        if total is not None and file.tell() != total:
            raise requests.ConnectionError("the connection broke off")

    def _check_total(self, total: int | None, offset: int) -> None:
        if self.size is not None and total is not None and total != self.size:
            raise WrongSizeError(f"a file of {total} bytes, expected {self.size}")
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - offset > free:
            raise UserError(f"{self.part.parent}: {total - offset} bytes to download, {free} bytes free; make space")


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Hold a lock on the file, where the file system has locks, and make it if it is not there."""
    lock = FileLock(part, blocking=False, fallback_to_soft=False)  # a soft lock would write into the file
    try:
        lock.acquire()
    except Timeout as error:
        raise UserError(f"{part}: another process is downloading it; wait for it to end") from error
    except OSError:
        pass  # a file system without locks
    try:
        part.touch()  # another process may just have finished it, and moved it away
        yield
    finally:
        lock.release()
