"""The paper's tables, measured beside published: made at any time from whatever has been measured so far."""

import re
from pathlib import Path

import pandas as pd

from tfcore.metrics.gather import AVERAGE, read_metrics
from tfcore.paper.numbers import paper, paper_names, release
from tfcore.report.measured import METRICS, Measured
from tfcore.report.table import Cell, Table, ranked, rules_between_groups, write_table
from tfcore.report.tables.ablations import ablation_table
from tfcore.report.tables.by_category import BY_CATEGORY, category_table, dataset_table, epoch_table
from tfcore.report.tables.published_cells import RELEASE_NOTE, difference, notes_for, published_cell, runs_note
from tfcore.report.tables.seconds import speed_table
from tfcore.runs.needed import PLACES, TABLES, further_datasets
from tfcore.runtime.errors import UserError
from tfcore.settings.variants import Settings


def make_table(name: str, measured: Measured, timing: Path | None = None) -> Table:
    """Make ``table1`` … ``table9``, or ``table_DATASET``; Table 5 reads the ``timing`` CSV.

    ``measured.used`` then names the runs that it is made from. Raises `UserError` for another name.
    """
    number = int(name.removeprefix("table")) if re.fullmatch(r"table[1-9]", name) else 0
    if number in BY_CATEGORY:
        return category_table(number, measured)
    if number in PLACES:
        return epoch_table(number, measured)
    if number == 3:
        return overview_table(measured)
    if number == 4:
        return ablation_table(measured)
    if number == 5:
        return speed_table(timing, measured.sources()[0][0])
    dataset = name.removeprefix("table_")
    if dataset == name or dataset not in measured.settings.datasets:
        known = ", ".join(f"table_{each}" for each in measured.settings.datasets)
        raise UserError(f"no such table '{name}' (known: table1 … table9, {known})")
    return dataset_table(dataset, measured)


def write_tables(
    metrics: Path | pd.DataFrame,
    settings: Settings,
    out: Path,
    names: list[str] | None = None,
    timing: Path | None = None,
) -> list[Path]:
    """Write the named tables, by default all that the workflow makes; return the files written.

    ``metrics`` is the file of all metrics, or the rows of those that the tables show.
    """
    measured = Measured(metrics if isinstance(metrics, pd.DataFrame) else read_metrics(metrics), settings)
    every = [*(f"table{number}" for number in TABLES), *(f"table_{name}" for name in further_datasets(settings))]
    tables = [make_table(name, measured, timing) for name in names or every]
    return [file for table in tables for file in write_table(table, out)]


def overview_table(measured: Measured) -> Table:
    """Make Table 3: detection and localisation on all datasets and their average."""
    places = [(dataset, metric) for dataset in measured.datasets for metric in METRICS]
    sources = measured.sources()
    here = [[measured.average(dataset, metric.name, source) for dataset, metric in places] for _, source in sources]
    rows = _ranked_rows("measured", [name for name, _ in sources], here)
    if measured.from_paper:
        methods = paper_names("Table 3", "method")
        theirs = [(measured.published_name(dataset) or "", metric) for dataset, metric in places]
        printed = [
            [published_cell(paper("Table 3", name, AVERAGE, method, metric.published)) for name, metric in theirs]
            for method in methods
        ]
        released = [published_cell(release(name, AVERAGE, metric.name)) for name, metric in theirs]
        rows = [*_ranked_rows("published", methods, printed), ["release", "TransFusion", *released], *rows]
        same = [measured.covers_paper(dataset) for dataset, _ in places]
        for name, there in (("published", printed[-1]), ("release", released)):
            cells = zip(here[0], there, same, strict=True)
            differences = (difference(ours, cell) if fits else Cell() for ours, cell, fits in cells)
            rows.append(["difference", f"measured − {name}", *differences])
    columns = [("", "Origin"), ("", "Method")]
    columns += [(measured.title(dataset), metric.heading) for dataset, metric in places]
    release_notes = [RELEASE_NOTE] if measured.from_paper else []
    runs = runs_note(measured, measured.settings.run.datasets, [source for _, source in sources])
    title = "Anomaly detection (image AUROC, %) and localisation (AUPRO, %)"
    return Table("table3", title, columns, rows, [*notes_for(rows), *release_notes, runs], rules_between_groups(rows))


def _ranked_rows(origin: str, names: list[str], body: list[list[Cell]]) -> list[list[Cell | str]]:
    """Return rows with origin and name, ranked within each column."""
    columns = [ranked(list(column)) for column in zip(*body, strict=True)]
    return [[origin, *row] for row in zip(names, *columns, strict=True)]
