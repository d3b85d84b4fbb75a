"""Files that are either complete or not there: every output is written under a temporary name and renamed."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from tfcore.runtime.errors import UserError


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside ``path``; rename it to ``path`` when the block ends without an error.

    Two writers of the same path do not disturb each other: the last rename wins, and both wrote the whole file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private; a shared results folder must be readable
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path | str) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; it takes the place of ``path`` when the block ends without an error.

    Two writers of the same path do not disturb each other: the last one's whole folder stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        _take_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take_place(new: Path, path: Path) -> None:
    """Rename a folder to ``path``; one that is there is renamed away first, so that nobody sees half of it."""
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        for attempt in count():
            with suppress(FileNotFoundError):
                path.replace(old / str(attempt))
            try:
                new.replace(path)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            else:
                return  # else another writer was faster: once more
    finally:
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` to ``path`` at once or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as readable JSON with a final newline."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


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
