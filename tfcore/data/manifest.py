"""The manifest of a category: every file with its size, sha256, category, split and label; versioned in git."""

import csv
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tfcore.runtime.errors import UserError
from tfcore.runtime.files import write_csv

FOREGROUND = "foreground"


class Entry(NamedTuple):
    """One file; ``file`` is relative to the folder of the categories.

    Masks have the split ``ground_truth``, precomputed foregrounds ``foreground`` and a name that begins so.
    """

    file: str
    size: int
    sha256: str
    category: str
    split: str
    label: int


def read_hashed(path: Path) -> tuple[bytes, str]:
    """Return a file's content and its sha256. Raises `UserError` if it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return content, hashlib.sha256(content).hexdigest()


def write_manifest(path: Path | str, entries: Iterable[Entry]) -> None:
    """Write the entries as CSV, sorted by split and file, so that the same data give the same file."""
    rows = sorted(entries, key=lambda entry: (entry.split, entry.file))
    write_csv(path, Entry._fields, rows)


def read_manifest(path: Path | str) -> dict[str, Entry]:
    """Return the entries by file name. Raises `UserError` if the file is missing or damaged."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        return {row["file"]: Entry(**row | {"size": int(row["size"]), "label": int(row["label"])}) for row in rows}
    except FileNotFoundError as error:
        raise UserError(f"{path}: no manifest; run check-data first") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a manifest ({error}); run check-data again") from error
