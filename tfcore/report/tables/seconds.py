"""Table 5: seconds per image on this device, beside the paper's figures for an A100."""

from math import isnan
from pathlib import Path

import pandas as pd

from tfcore.metrics.gather import one_line
from tfcore.paper.numbers import paper, paper_names
from tfcore.report.table import Cell, Table, rules_between_groups
from tfcore.report.tables.published_cells import notes_for, published_cell
from tfcore.runtime.errors import UserError

COLUMNS = ("device", "steps", "batch", "seconds_per_image")
OUT_OF_MEMORY = "out of memory"


def read_timing(file: Path | str) -> pd.DataFrame:
    """Read ``results/timing.csv``: device, steps T, batch size, seconds per image.

    The seconds are NaN where the row says 0 repeats: that batch did not fit into the device's memory.
    """
    advice = "`python -m tfcore time-inference` makes it"
    try:
        rows = pd.read_csv(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({one_line(error)}); {advice}") from error
    if missing := [name for name in COLUMNS if name not in rows]:
        raise UserError(f"{file}: lacks the column {', '.join(missing)}; {advice}")
    did_not_fit = rows["seconds_per_image"].isna() & (rows.get("repeats") == 0)
    if not ((pd.to_numeric(rows["seconds_per_image"], errors="coerce") > 0) | did_not_fit).all():
        raise UserError(f"{file}: seconds_per_image must be positive numbers")
    return rows


def speed_table(timing: Path | None, method: str) -> Table:
    """Make Table 5, with the times of a ``method``; without a timing file only the published column is filled."""
    rows: list[list[Cell | str]] = []
    for name in paper_names("Table 5", "method"):
        cell = published_cell(paper("Table 5", "A100", "", name, "Inference time [s]"), digits=2)
        rows.append(["published", name, "A100", "", "", cell])
    notes = [*notes_for(rows), "Published: the batch size is not known; TransFusion has T = 20."]
    if timing is not None and Path(timing).exists():
        for row in read_timing(timing).to_dict("records"):
            seconds = float(row["seconds_per_image"])
            steps = "" if isnan(row["steps"]) else f"{row['steps']:g}"  # not every method has timesteps
            cell = Cell(about=OUT_OF_MEMORY) if isnan(seconds) else Cell(seconds, digits=2 if seconds >= 1 else 4)
            rows.append(["measured", method, str(row["device"]), steps, str(row["batch"]), cell])
        if any(isinstance(row[-1], Cell) and row[-1].about == OUT_OF_MEMORY for row in rows):
            notes.append("Empty: out of memory, the batch did not fit on the device.")
    else:
        notes.append("Nothing is measured yet: `python -m tfcore time-inference` writes results/timing.csv.")
    columns = [("", name) for name in ("Origin", "Method", "Device", "T", "Batch", "Seconds per image")]
    return Table("table5", "Inference time", columns, rows, notes, rules_between_groups(rows))
