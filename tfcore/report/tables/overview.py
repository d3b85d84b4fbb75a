"""The paper's tables, measured beside published: made at any time from whatever has been measured so far."""

import re
from pathlib import Path

import pandas as pd

from tfcore.metrics.gather import AVERAGE, read_metrics
from tfcore.paper.numbers import paper, paper_names, release
from tfcore.report.measured import METRICS, Measured, Source
from tfcore.report.table import Cell, Table, ranked, write_table
from tfcore.report.tables.ablations import ablation_table
from tfcore.report.tables.by_category import BY_CATEGORY, BY_EPOCH, category_table, dataset_table, epoch_table
from tfcore.report.tables.published_cells import (
    PAPER_DATASETS,
    RELEASE_NOTE,
    difference,
    notes_for,
    published_cell,
    runs_note,
)
from tfcore.report.tables.seconds import speed_table
from tfcore.runs.needed import TABLES, further_datasets
from tfcore.runtime.errors import UserError
from tfcore.settings.variants import Settings

_Rows = list[list[Cell | str]]


def make_table(name: str, measured: Measured, timing: Path | None = None) -> Table:
    """Make ``table1`` … ``table9``, or ``table_DATASET``; Table 5 reads the ``timing`` CSV.

    ``measured.used`` then names the runs that it is made from. Raises `UserError` for another name.
    """
    number = int(name.removeprefix("table")) if re.fullmatch(r"table[1-9]", name) else 0
    if number in BY_CATEGORY:
        return category_table(number, measured)
    if number in BY_EPOCH:
        return epoch_table(number, measured)
    if number == 3:
        return overview_table(measured)
    if number == 4:
        return ablation_table(measured)
    if number == 5:
        return speed_table(timing)
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
    settings = measured.settings
    groups = _groups(measured)
    columns = [("", "Origin"), ("", "Method")]
    columns += [(title, metric.heading) for title, _, _ in groups for metric in METRICS]
    sources = measured.sources()
    body = [_measured_row(measured, source) for _, source in sources]
    measured_rows: _Rows = [
        ["measured", name, *cells] for (name, _), cells in zip(sources, _ranked_columns(body), strict=True)
    ]
    published_rows = _published_rows(groups)
    rows = [*published_rows, *measured_rows]
    rules = [line for line in range(1, len(rows)) if rows[line][0] != rows[line - 1][0]]
    if published_rows:
        *_, ours, released = published_rows
        rules.append(len(rows))
        rows += [_difference_row(measured_rows[0], there, groups) for there in (ours, released)]
    runs = runs_note(measured, settings.run.datasets, [source for _, source in sources])
    notes = [*notes_for(rows), *([RELEASE_NOTE] if published_rows else []), runs]
    title = "Anomaly detection (image AUROC, %) and localisation (AUPRO, %)"
    return Table("table3", title, columns, rows, notes, rules)


def _groups(measured: Measured) -> list[tuple[str, str | None, bool]]:
    """Return title, the paper's name, and whether the published number is an average over the same, per column pair."""
    settings = measured.settings
    groups: list[tuple[str, str | None, bool]] = []
    for name in settings.run.datasets:
        dataset = settings.datasets[name]
        groups.append((dataset.title, dataset.published, measured.covers_paper(name)))
    if len(groups) > 1:
        both = sorted(name or "" for _, name, _ in groups) == sorted(PAPER_DATASETS)
        groups.append(("Average", "Average" if both else None, both and all(same for _, _, same in groups)))
    return groups


def _published_rows(groups: list[tuple[str, str | None, bool]]) -> _Rows:
    """Return the paper's ten methods and the authors' release; nothing if no dataset is the paper's."""
    if not any(published for _, published, _ in groups):
        return []
    methods = paper_names("Table 3", "method")
    body = [
        [
            published_cell(paper("Table 3", published, AVERAGE, method, metric.published)) if published else Cell()
            for _, published, _ in groups
            for metric in METRICS
        ]
        for method in methods
    ]
    released = [
        published_cell(release(published, AVERAGE, metric.name)) if published else Cell()
        for _, published, _ in groups
        for metric in METRICS
    ]
    rows: _Rows = [["published", name, *cells] for name, cells in zip(methods, _ranked_columns(body), strict=True)]
    return [*rows, ["release", "TransFusion", *released]]


def _ranked_columns(body: list[list[Cell]]) -> list[list[Cell]]:
    columns = [ranked(list(column)) for column in zip(*body, strict=True)]
    return [list(row) for row in zip(*columns, strict=True)]


def _measured_row(measured: Measured, source: Source) -> list[Cell]:
    datasets = measured.settings.run.datasets
    cells = [measured.average(dataset, metric.name, source) for dataset in datasets for metric in METRICS]
    if len(datasets) > 1:
        cells += [measured.overall(metric.name, source) for metric in METRICS]
    return cells


def _difference_row(
    here: list[Cell | str], there: list[Cell | str], groups: list[tuple[str, str | None, bool]]
) -> list[Cell | str]:
    """Return measured minus published, where both are averages over the same categories."""
    same = [same for _, _, same in groups for _ in METRICS]
    pairs = zip(here[2:], there[2:], same, strict=True)
    cells = [
        difference(a, b) if fits else Cell() for a, b, fits in pairs if isinstance(a, Cell) and isinstance(b, Cell)
    ]
    return ["difference", f"measured − {there[0]}", *cells]
