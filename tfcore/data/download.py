"""Downloading an archive: addresses in order, broken downloads resumed, and the hash is the truth."""

from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pooch
import requests

from tfcore.data.http import ResumingDownloader
from tfcore.runtime.errors import UserError
from tfcore.settings.sections import Archive


def download(
    name: str, archive: Archive, folder: Path, attempts: int = 5, timeout: float = 30, pause: float = 2
) -> Path:
    """Return ``folder/<file>``, downloaded if it is not there, with the size and sha256 that ``archive`` states.

    A file that is already there is checked like a fresh one. Raises `UserError` when no address gives the right file,
    naming every address and what was wrong with it. ``attempts``, ``timeout``, ``pause``: see `ResumingDownloader`.
    """
    if not archive.urls:
        raise UserError(f"{name}: neither `local` nor `archive.urls` is set; give one of them in the settings")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / (unquote(Path(urlsplit(archive.urls[0]).path).name) or name)
    part = file.with_name(f"{file.name}.part")
    downloader = ResumingDownloader(part, archive.bytes, archive.sha256 is not None, attempts, timeout, pause)
    if file.exists() and archive.bytes not in (None, file.stat().st_size):
        print(f"note: {file}: {file.stat().st_size} bytes, expected {archive.bytes}; downloading it again")
        file.unlink()
    failures = []
    for url in archive.urls:
        try:
            return _retrieve(url, archive, file, downloader)
        except (requests.RequestException, OSError, ValueError) as error:
            failures.append(f"{url} ({_reason(error)})")
    raise UserError(
        f"{name}: no address gave the archive: {'; '.join(failures)}; expected sha256 {archive.sha256 or 'not set'}. "
        f"If you have it or find it elsewhere, set `local` of {name} in the settings to that archive or its folder"
    )


def _retrieve(url: str, archive: Archive, file: Path, downloader: ResumingDownloader) -> Path:
    """Let pooch check what is there, download and check again; a bad start of the file is dropped once."""
    known_hash = f"sha256:{archive.sha256}" if archive.sha256 else None
    retrieve = partial(pooch.retrieve, url, known_hash, file.name, file.parent, downloader=downloader)
    try:
        return Path(retrieve())
    except ValueError:
        if not downloader.resumed:
            raise
        return Path(retrieve())  # the wrong hash may come from what an earlier run or another address had left


def _reason(error: Exception) -> str:
    match error:
        case requests.HTTPError(response=requests.Response() as response):
            return f"HTTP status {response.status_code}"
        case requests.Timeout():
            return "no answer in time"
        case requests.ConnectionError() | requests.exceptions.ChunkedEncodingError():
            return "no connection, or it broke off"
        case ValueError() if not isinstance(error, requests.RequestException):
            return "a file with another sha256"
    return " ".join(str(error).split())
