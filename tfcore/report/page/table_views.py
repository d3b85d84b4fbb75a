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
    references = _column_references(table) if by_column else _row_references(table)
    reference = _default_reference(table, references, by_column)
    if len(references) < 2:
        references = []
    return PageTable(table, command, by_column, references, reference, table.name == "table5")


def _measured_first(table: Table) -> Table:
    """Put the measured columns beside the categories, the published ones after them: a screen shows the left ones."""
    place = {"Release": 1, "Published": 2}
    order = sorted(range(len(table.columns)), key=lambda index: (place.get(table.columns[index][0], 0), index))
    columns = [table.columns[index] for index in order]
    return replace(table, columns=columns, rows=[[row[index] for index in order] for row in table.rows])


def _column_references(table: Table) -> list[tuple[int, str]]:
    found = []
    for index, (group, name) in enumerate(table.columns):
        cells = [row[index] for row in table.rows]
        if any(isinstance(cell, Cell) and cell.value is not None and not cell.signed for cell in cells):
            found.append((index, f"{group}: {name}" if group else name))
    return found


def _row_references(table: Table) -> list[tuple[int, str]]:
    found = []
    for index, row in enumerate(table.rows):
        if any(isinstance(cell, Cell) and cell.value is not None and not cell.signed for cell in row):
            names = [cell for cell in row if isinstance(cell, str) and cell]
            title = ": ".join(names)
            found.append((index, title[:1].upper() + title[1:]))
    return found


def _default_reference(table: Table, references: list[tuple[int, str]], by_column: bool) -> int:
    """Return the published or released TransFusion with the most known cells, else the first measured one."""
    counts = {}
    for index, name in references:
        cells = [row[index] for row in table.rows] if by_column else table.rows[index]
        known = sum(isinstance(cell, Cell) and cell.value is not None for cell in cells)
        counts[index] = known if "TransFusion" in name and not name.startswith("Measured") else 0
    return max(counts, key=lambda index: counts[index], default=0)
