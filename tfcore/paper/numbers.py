"""Published numbers: the paper's tables, the authors' released checkpoints, and the paper's statements.

All are read from the CSV files in this folder. A cell of the paper that is not known here has an empty value and the
certainty ``unknown``; whoever has the paper at hand fills in the value and writes ``printed``.
"""

import csv
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from tfcore.runtime.errors import UserError
from tfcore.runtime.files import digest, sha256_of

FOLDER = Path(__file__).resolve().parent
PAPER = FOLDER / "paper_tables.csv"
RELEASE = FOLDER / "authors_release.csv"
CERTAINTIES = ("printed", "derived", "other-source", "unknown")
RELEASE_METRICS = ("image_auroc", "aupro", "pixel_auroc", "pixel_ap")
PAPER_DATASETS = ("VisA", "MVTec AD")
RELEASE_NAMES = {"visa": "VisA", "mvtec_ad": "MVTec AD"}
LINE = "line"  # where a row stands in its file, for messages
_KEYS = ["table", "dataset", "category", "method", "metric"]


@dataclass(frozen=True)
class Number:
    """A published number (in the paper's unit: per cent, percentage points or seconds) and how sure it is."""

    value: float | None
    certainty: str
    source: str = ""


def published_digest() -> str:
    """Return what identifies the content of all files here: it changes when a published number is corrected."""
    return digest([[file.name, sha256_of(file)] for file in sorted(FOLDER.glob("*.csv"))])


@lru_cache(maxsize=8)
def _rows(file: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Read a CSV with exactly these columns; `UserError` names the line that does not fit them."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:  # spreadsheets put a mark before UTF-8
            reader = csv.reader(stream, strict=True)
            lines = [(reader.line_num, values) for values in reader if values]
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is not UTF-8 text; save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise UserError(f"{file}: line {reader.line_num}: is not CSV: {error}") from error
    if not lines or lines[0][1] != list(columns):
        found = ",".join(lines[0][1]) if lines else ""
        raise UserError(f"{file}: line 1: the columns must be {','.join(columns)} (found {found or 'nothing'})")
    for line, values in lines[1:]:
        if len(values) != len(columns):
            raise UserError(
                f"{file}: line {line}: {len(values)} values for {len(columns)} columns; a value with a comma in it "
                "needs double quotes around it"
            )
    return [dict(zip(columns, values, strict=True)) | {LINE: str(line)} for line, values in lines[1:]]


def _number(file: Path, row: dict[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{file}: line {row[LINE]}: {column} is not a number: '{row[column]}'")
    return value


@lru_cache(maxsize=4)
def paper_tables(file: Path = PAPER) -> pd.DataFrame:
    """Read the paper's tables, one row per cell, in the paper's order; `UserError` names a row that makes no sense."""
    rows = _rows(file, (*_KEYS, "value", "certainty", "source", "note"))
    seen = set()
    for row in rows:
        place, key = f"{file}: line {row[LINE]}", tuple(row[name] for name in _KEYS)
        if row["certainty"] not in CERTAINTIES:
            raise UserError(f"{place}: certainty '{row['certainty']}' is not one of {', '.join(CERTAINTIES)}")
        if (row["value"] == "") != (row["certainty"] == "unknown"):
            raise UserError(f"{place}: a value needs a certainty other than 'unknown', and an empty cell that")
        if key in seen:
            raise UserError(f"{place}: the same cell is there twice")
        seen.add(key)
    values = [_number(file, row, "value") if row["value"] else None for row in rows]
    return pd.DataFrame(rows).drop(columns=LINE).assign(value=pd.Series(values, dtype=float))


@lru_cache(maxsize=4)
def _cells(file: Path) -> dict[tuple[str, ...], Number]:
    cells = {}
    for row in paper_tables(file).to_dict("records"):
        value = None if pd.isna(row["value"]) else float(row["value"])
        cells[tuple(row[key] for key in _KEYS)] = Number(value, row["certainty"], row["source"])
    return cells


def paper(table: str, dataset: str, category: str, method: str, metric: str) -> Number | None:
    """Return a cell of the paper (names as in ``paper_tables.csv``), or ``None`` if the paper has no such cell."""
    return _cells(PAPER).get((table, dataset, category, method, metric))


def paper_names(table: str, column: str) -> list[str]:
    """Return the names in a column (``method``, ``category``, …) of one of the paper's tables, in the paper's order."""
    rows = paper_tables()
    return list(dict.fromkeys(rows.loc[rows["table"] == table, column]))


def paper_categories(dataset: str) -> list[str]:
    """Return the categories of ``VisA`` or ``MVTec AD`` in the paper's order; none for another dataset."""
    table = {"VisA": "Table 1", "MVTec AD": "Table 2"}.get(dataset)
    return [name for name in paper_names(table, "category") if name != "average"] if table else []


@lru_cache(maxsize=4)
def _release(file: Path) -> dict[tuple[str, str, str], float]:
    cells = {}
    for row in _rows(file, ("dataset", "category", *RELEASE_METRICS)):
        if row["dataset"] not in RELEASE_NAMES:
            known = ", ".join(RELEASE_NAMES)
            raise UserError(f"{file}: line {row[LINE]}: dataset '{row['dataset']}' is not one of {known}")
        category = "average" if row["category"] == "Average" else row["category"]
        for metric in RELEASE_METRICS:
            cells[RELEASE_NAMES[row["dataset"]], category, metric] = _number(file, row, metric)
    return cells


def release(dataset: str, category: str, metric: str) -> Number | None:
    """Return what the authors' released checkpoints give, in per cent; ``dataset`` is the paper's name of it.

    The average over both datasets (``dataset = Average``) is derived from the two printed averages.
    """
    cells = _release(RELEASE)
    if dataset == "Average":
        values = [cells[name, category, metric] for name in RELEASE_NAMES.values()]
        return Number(sum(values) / len(values), "derived", "mean of the two averages")
    value = cells.get((dataset, category, metric))
    return None if value is None else Number(value, "printed", "the authors' repository")


def statements() -> list[dict[str, str]]:
    """Return the paper's statements: id, statement and where in the paper."""
    return _rows(FOLDER / "paper_statements.csv", ("id", "statement", "where"))


@dataclass(frozen=True)
class Check:
    """What a statement says of one dataset (named as in the paper; empty where it says nothing of a single one)."""

    kind: str
    metric: str
    of: str  # an ablation's or a method's name, or the prefix of a sweep's points
    dataset: str
    stated: str

    @property
    def number(self) -> float:
        """Return the stated number; a lead is written as a sum: ``98.1+0.4``."""
        return sum(float(part) for part in self.stated.split("+"))

    @property
    def span(self) -> tuple[float, float]:
        """Return the two ends of a stated range: ``83.0..90.5``."""
        low, _, high = self.stated.partition("..")
        return float(low), float(high)


def names_in(text: str) -> list[str]:
    """Return the names in a cell that lists some: ``fryum; cashew``."""
    return text.split("; ")


def paper_checks() -> dict[str, list[Check]]:
    """Return how each statement is checked, by its id: one check per stated number."""
    found: dict[str, list[Check]] = {}
    columns = ("VisA", "MVTec AD", "Average")
    for row in _rows(FOLDER / "paper_checks.csv", ("id", "check", "metric", "of", *columns, "note")):
        for dataset in [name for name in columns if row[name]] or [""]:
            check = Check(row["check"], row["metric"], row["of"], dataset, row.get(dataset, ""))
            found.setdefault(row["id"], []).append(check)
    return found
