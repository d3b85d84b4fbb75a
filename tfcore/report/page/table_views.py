"""Tables as the report page shows them: measured columns first, and what a difference may refer to."""

from dataclasses import dataclass, replace

from tfcore.report.table import Cell, Table


@dataclass(frozen=True)
class PageTable:
    """A table on the page: how it is shown, which command makes it, and what differences may refer to."""

    table: Table
    command: str
    by_column: bool  # methods are columns (a difference refers to a column), else rows
    references: list[tuple[int, str]]
    reference: int
    low_is_better: bool  # seconds


def page_table(table: Table, command: str) -> PageTable:
    """Prepare a table for the page; ``command`` is the Snakemake target that makes it."""
    by_column = table.columns[0][1] == "Category"
    if by_column:
        table = _measured_first(table)
        lines, names = [table.column(index) for index in range(len(table.columns))], table.headers
    else:
        lines, names = table.rows, [_row_name(row) for row in table.rows]
    known = [
        len([cell for cell in line if isinstance(cell, Cell) and cell.value is not None and not cell.signed])
        for line in lines
    ]
    references = [(index, name) for index, name in enumerate(names) if known[index]]
    ours = [index for index, name in references if "TransFusion" in name and not name.startswith("Measured")]
    # The published or released TransFusion with the most known cells, else the first line that has any.
    reference = max(ours or [index for index, _ in references[:1]], key=lambda index: known[index], default=0)
    return PageTable(
        table, command, by_column, references if len(references) > 1 else [], reference, table.name == "table5"
    )


def _measured_first(table: Table) -> Table:
    """Put the measured columns beside the categories, the published ones after them: a screen shows the left ones."""
    place = {"Release": 1, "Published": 2}
    order = sorted(range(len(table.columns)), key=lambda index: place.get(table.columns[index][0], 0))
    columns = [table.columns[index] for index in order]
    return replace(table, columns=columns, rows=[[row[index] for index in order] for row in table.rows])


def _row_name(row: list[Cell | str]) -> str:
    title = ": ".join(cell for cell in row if isinstance(cell, str) and cell)
    return title[:1].upper() + title[1:]
