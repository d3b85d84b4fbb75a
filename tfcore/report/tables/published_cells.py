"""Cells of published numbers, differences between measured and published ones, and the notes that explain marks."""

from tfcore.paper.numbers import Number
from tfcore.report.measured import Measured, Source
from tfcore.report.table import Cell

MARKS = {"printed": "", "derived": "†", "other-source": "‡"}
UNKNOWN = "?"

_MARK_NOTES = {
    UNKNOWN: "? the paper's cell is not known; whoever has it may write it into tfcore/paper/paper_tables.csv.",
    "†": "† derived from other published numbers.",
    "‡": "‡ from another source than the paper.",
}
RANK_NOTE = (
    "First, second, third are bold, underlined, in italics: among the published or among the measured numbers, "
    "never across. Nothing is marked where one of the numbers is not known."
)
RELEASE_NOTE = (
    "Release: the authors' checkpoints by their own evaluation; its ground truth is resized by another rule "
    "(score.mask_rule: antialiased), which moves AUPRO."
)


def published_cell(number: Number | None, digits: int = 1) -> Cell:
    """Return a published number as a cell, marked with its certainty; empty if there is no such cell."""
    if number is None:
        return Cell()
    if number.value is None:
        return Cell(mark=UNKNOWN, about="unknown")
    about = "" if number.certainty == "printed" else number.certainty
    return Cell(number.value, mark=MARKS[number.certainty], digits=digits, about=about)


def difference(cell: Cell, published: Cell) -> Cell:
    """Return measured minus published in percentage points, and whether the published value lies in the interval.

    An average over some of the categories (marked) is not compared with the published one over all.
    """
    if cell.value is None or published.value is None or cell.mark:
        return Cell()
    inside = None
    if cell.low is not None and cell.high is not None:
        inside = cell.low - 0.05 <= published.value <= cell.high + 0.05  # the published value is rounded to 0.1
    about = {None: "", True: "inside", False: "outside"}[inside]
    return Cell(cell.value - published.value, signed=True, inside=inside, about=about)


def runs_note(measured: Measured, datasets: list[str], sources: list[Source]) -> str:
    """Return the line that says how many runs a table is made from, and what is empty or left out for which reason."""
    done, wanted = measured.runs(datasets, sources)
    note = f"Made from {done} of {wanted} runs." + (" Empty cells have not been measured yet." if done < wanted else "")
    for name in datasets:
        if measured.published_name(name) and not measured.covers_paper(name):
            title, covered = measured.title(name), ", ".join(measured.categories(name))
            note += f" {title} is measured on {covered}, so its average is not comparable with published ones."
    if any(source.variant not in measured.covered for source in sources):
        note += " Variants that run.variants leaves out are not among them."
    if measured.left_out:
        seeds = ", ".join(measured.left_out)
        note += f" Metrics of seeds that run.seeds does not name are left out: {seeds}."
    return note


def notes_for(rows: list[list[Cell | str]]) -> list[str]:
    """Return the notes for the marks that occur in the rows."""
    cells = [cell for row in rows for cell in row if isinstance(cell, Cell)]
    marks = "".join(cell.mark for cell in cells)
    notes = [note for mark, note in _MARK_NOTES.items() if mark in marks]
    if "/" in marks:
        notes.append("(k/n) average over the k of n categories that have been measured.")
    if any(cell.rank for cell in cells):
        notes.append(RANK_NOTE)
    if any(cell.spread is not None for cell in cells):
        notes.append("± standard deviation over seeds.")
    return notes
