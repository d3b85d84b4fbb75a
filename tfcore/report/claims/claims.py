"""The paper's statements, each checked against what has been measured, with a verdict."""

from pathlib import Path

from tfcore.metrics.gather import read_metrics
from tfcore.paper.numbers import paper_checks, statements
from tfcore.report.claims import checks, printed
from tfcore.report.claims.checks import Part
from tfcore.report.measured import Measured
from tfcore.report.table import Cell, Table, write_table
from tfcore.report.tables.ablations import PAPER_ROWS, source_of
from tfcore.report.tables.published_cells import runs_note
from tfcore.settings.variants import Settings

VERDICTS = ("reproduced", "not reproduced", "not measured yet", "cells not known")
REPRODUCED, NOT_REPRODUCED, OPEN, UNKNOWN = VERDICTS
KINDS = checks.KINDS | printed.KINDS  # by the name in the column ``check`` of paper_checks.csv

NOTES = [
    "A stated value is reproduced if it lies in the measured interval, or within 0.5 p.p. where there is no interval; "
    "a stated difference if the measured one has its sign and is within 0.5 p.p. or a quarter of it; a stated lead or "
    "bound if the measured value reaches it. Only complete averages over the paper's categories count.",
    "cells not known: the check needs cells of the paper that tfcore/paper/paper_tables.csv does not have.",
]


def verdict(parts: list[Part]) -> str:
    """Return reproduced if all parts are, not reproduced as soon as one is not, otherwise what is missing."""
    if any(part.reproduced is False for part in parts):
        return NOT_REPRODUCED
    if any(part.unknown for part in parts):
        return UNKNOWN
    return OPEN if any(part.reproduced is None for part in parts) else REPRODUCED


def claims_table(measured: Measured) -> Table:
    """Make the table of the paper's statements with what was measured and the verdict."""
    known = paper_checks()
    rows: list[list[Cell | str]] = []
    for statement in statements():
        parts = [KINDS[check.kind](measured, check) for check in known[statement["id"]]]
        texts = "; ".join(part.text for part in parts)
        rows.append([statement["id"], statement["statement"], texts, verdict(parts), statement["where"]])
    count = {name: sum(row[3] == name for row in rows) for name in VERDICTS}
    summary = ", ".join(f"{number} {name}" for name, number in count.items() if number)
    columns = [("", name) for name in ("Id", "Statement", "Measured", "Verdict", "Where")]
    runs = runs_note(measured, measured.settings.run.datasets, [source_of(row, measured) for row in PAPER_ROWS])
    return Table("claims", f"Claims of the paper: {summary}", columns, rows, [*NOTES, runs])


def write_claims(metrics: Path, settings: Settings, out: Path) -> list[Path]:
    """Write ``claims.md``, ``.tex`` and ``.csv`` into the folder ``out``."""
    return write_table(claims_table(Measured(read_metrics(metrics), settings)), out)
