"""Files that are either complete or not there: every output is written under a temporary name and renamed."""

import csv
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from safetensors import SafetensorError

from tfcore.runtime.errors import UserError


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` when the block ends without an error.

    Two writers of the same path do not disturb each other: the last rename wins, and both wrote the whole file.
    """
    temporary = _beside(Path(path))
    temporary.touch()
    mode = temporary.stat().st_mode
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(mode)  # safetensors makes files private; a shared results folder must be readable
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path | str) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; it takes the place of ``path`` when the block ends without an error.

    Two writers of the same path do not disturb each other: the last one's whole folder stays.
    """
    temporary = _beside(Path(path))
    temporary.mkdir()
    try:
        yield temporary
        _take_place(temporary, Path(path))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(path: Path) -> Path:
    """Return a new hidden name in the folder of ``path``, which is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{token_hex(8)}{path.suffix}")


def _take_place(new: Path, path: Path) -> None:
    """Rename a folder to ``path``; one that is there is renamed away first, so that nobody sees half of it."""
    while True:
        old = _beside(path)
        with suppress(FileNotFoundError):
            path.replace(old)
        try:
            new.replace(path)
            return
        except OSError as error:  # another writer was faster: once more
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` to ``path`` at once or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as readable JSON with a final newline."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def write_csv(path: Path | str, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a table as CSV: numbers keep every digit, None is empty."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def read_json(path: Path | str) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def digest(value: Any) -> str:
    """Return 12 hexadecimal digits that identify a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def sha256_of(path: Path | str) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def order_header(path: Path | str) -> None:
    """Sort the metadata in the header of a safetensors file in place, so that equal content gives equal bytes.

    The library writes them in random order. The format: 8 bytes length, JSON padded with spaces, then the tensors.
    """
    with Path(path).open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > size:
            raise ValueError(f"{path}: the header cannot be rewritten in its place")
        file.seek(8)
        file.write(text.ljust(size))


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn the failures of writing that no program can prevent (full disk, no permission) into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(f"{what}: the disk is full; free some space and run again") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EFBIG):
            raise UserError(f"{what}: cannot write {error.filename or 'a file'}: {error.strerror}") from error
        raise
    except SafetensorError as error:  # it says in words what went wrong
        if "No space left" in str(error) or "os error 122" in str(error):
            raise UserError(f"{what}: the disk is full; free some space and run again") from error
        raise UserError(f"{what}: cannot write: {error}") from error
