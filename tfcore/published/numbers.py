"""Published numbers: the paper's tables, the authors' released checkpoints, and the paper's statements.

All are read from the CSV files in this folder. A cell of the paper that is not known here has an empty value and the
certainty ``unknown``; whoever has the paper at hand fills in the value and writes ``printed``.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from tfcore.errors import UserError

FOLDER = Path(__file__).resolve().parent
PAPER = FOLDER / "paper_tables.csv"
CERTAINTIES = ("printed", "derived", "other-source", "unknown")
RELEASE_NAMES = {"visa": "VisA", "mvtec_ad": "MVTec AD"}
_KEYS = ["table", "dataset", "category", "method", "metric"]


@dataclass(frozen=True)
class Number:
    """A published number (in the paper's unit: per cent, percentage points or seconds) and how sure it is."""

    value: float | None
    certainty: str
    source: str = ""
    note: str = ""


@lru_cache(maxsize=4)
def paper_tables(file: Path = PAPER) -> pd.DataFrame:
    """Read the paper's tables, one row per cell, in the paper's order; `UserError` names a row that makes no sense."""
    rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    for line, row in enumerate(rows.to_dict("records"), start=2):
        if row["certainty"] not in CERTAINTIES:
            raise UserError(
                f"{file}: line {line}: certainty '{row['certainty']}' is not one of {', '.join(CERTAINTIES)}"
            )
        if (row["value"] == "") != (row["certainty"] == "unknown"):
            raise UserError(
                f"{file}: line {line}: a value needs a certainty other than 'unknown', and an empty cell that"
            )
    try:
        rows["value"] = pd.to_numeric(rows["value"].replace("", None))
    except ValueError as error:
        raise UserError(f"{file}: a value is not a number: {error}") from error
    if rows.duplicated(_KEYS).any():
        line = int(rows.duplicated(_KEYS).to_numpy().argmax()) + 2
        raise UserError(f"{file}: line {line}: the same cell is there twice")
    return rows


@lru_cache(maxsize=4)
def _cells(file: Path) -> dict[tuple[str, ...], Number]:
    cells = {}
    for row in paper_tables(file).to_dict("records"):
        value = None if pd.isna(row["value"]) else float(row["value"])
        cells[tuple(row[key] for key in _KEYS)] = Number(value, row["certainty"], row["source"], row["note"])
    return cells


def paper(table: str, dataset: str, category: str, method: str, metric: str) -> Number | None:
    """Return a cell of the paper (names as in ``paper_tables.csv``), or ``None`` if the paper has no such cell."""
    return _cells(PAPER).get((table, dataset, category, method, metric))


def paper_names(table: str, column: str) -> list[str]:
    """Return the names in a column (``method``, ``category``, …) of one of the paper's tables, in the paper's order."""
    return list(_names(table, column))


def paper_categories(dataset: str) -> list[str]:
    """Return the categories of ``VisA`` or ``MVTec AD`` in the paper's order; none for another dataset."""
    table = {"VisA": "Table 1", "MVTec AD": "Table 2"}.get(dataset)
    return [name for name in paper_names(table, "category") if name != "average"] if table else []


@lru_cache(maxsize=64)
def _names(table: str, column: str) -> tuple[str, ...]:
    rows = paper_tables()
    return tuple(dict.fromkeys(rows.loc[rows["table"] == table, column]))


@lru_cache(maxsize=1)
def _release() -> dict[tuple[str, str, str], float]:
    rows = pd.read_csv(FOLDER / "authors_release.csv")
    cells = {}
    for row in rows.to_dict("records"):
        category = "average" if row["category"] == "Average" else row["category"]
        for metric in ("image_auroc", "aupro", "pixel_auroc", "pixel_ap"):
            cells[RELEASE_NAMES[row["dataset"]], category, metric] = float(row[metric])
    return cells


def release(dataset: str, category: str, metric: str) -> Number | None:
    """Return what the authors' released checkpoints give, in per cent; ``dataset`` is the paper's name of it.

    The average over both datasets (``dataset = Average``) is derived from the two printed averages.
    """
    cells = _release()
    if dataset == "Average":
        values = [cells[name, category, metric] for name in RELEASE_NAMES.values()]
        return Number(sum(values) / len(values), "derived", "mean of the two averages")
    value = cells.get((dataset, category, metric))
    return None if value is None else Number(value, "printed", "the authors' repository")


def statements() -> list[dict[str, str]]:
    """Return the paper's statements: id, statement, derived (as a formula) and where in the paper."""
    rows = pd.read_csv(FOLDER / "paper_statements.csv", dtype=str, keep_default_na=False)
    return [{str(key): str(value) for key, value in row.items()} for row in rows.to_dict("records")]
