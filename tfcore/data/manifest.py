"""The manifest of a category: every file with its size, sha256, category, split and label; versioned in git."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tfcore.runtime.errors import UserError
from tfcore.runtime.files import replacing

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


def write_manifest(path: Path | str, entries: Iterable[Entry]) -> None:
    """Write the entries as CSV, sorted by split and file, so that the same data give the same file."""
    rows = sorted(entries, key=lambda entry: (entry.split, entry.file))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Entry._fields)
        writer.writerows(rows)


def read_manifest(path: Path | str) -> dict[str, Entry]:
    """Return the entries by file name. Raises `UserError` if the file is missing or damaged."""
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        entries = [
            Entry(row["file"], int(row["size"]), row["sha256"], row["category"], row["split"], int(row["label"]))
            for row in rows
        ]
    except FileNotFoundError as error:
        raise UserError(f"{path}: no manifest; run check-data first") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a manifest ({error}); run check-data again") from error
    return {entry.file: entry for entry in entries}
