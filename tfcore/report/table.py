"""A table of cells, and how it is written as Markdown, LaTeX (booktabs) and CSV."""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Literal

from tabulate import tabulate

from tfcore.paper.numbers import Number
from tfcore.runtime.files import write_text

INTERVAL_NOTE = (
    "In brackets the bootstrap interval (settings: score.confidence); inside, outside: whether the published value "
    "lies in it."
)
EMPHASIS = {  # of a number by its rank
    "text": ("{}", "{}", "{}", "{}"),
    "markdown": ("{}", "**{}**", "<u>{}</u>", "*{}*"),
    "latex": ("{}", r"\textbf{{{}}}", r"\underline{{{}}}", r"\textit{{{}}}"),
}
Markup = Literal["text", "markdown", "latex"]


@dataclass(frozen=True)
class Cell:
    """A number in a table (per cent, percentage points or seconds), or an empty cell with or without a mark."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    spread: float | None = None  # standard deviation over seeds
    seeds: int = 1
    mark: str = ""
    rank: int = 0  # 1, 2, 3 within the cells it may be compared with; 0 = none
    digits: int = 1
    signed: bool = False  # a difference
    inside: bool | None = None  # difference: does the published value lie in the measured interval?
    about: str = ""  # in the CSV beside the number: its certainty, or how much an average is made from

    @property
    def incomplete(self) -> bool:
        """Return whether this is an average over some of the categories: (k/n), (incomplete)."""
        return self.mark.startswith(" (")


@dataclass(frozen=True)
class Table:
    """Rows of texts and cells under columns (group, name); ``notes`` say what the reader must know."""

    name: str
    title: str
    columns: list[tuple[str, str]]
    rows: list[list[Cell | str]]
    notes: list[str] = field(default_factory=list)
    rules: list[int] = field(default_factory=list)  # rows before which a rule is drawn

    @property
    def headers(self) -> list[str]:
        """Return one name per column: its group and its own."""
        return [": ".join(filter(None, column)) for column in self.columns]

    @property
    def spans(self) -> list[tuple[str, int]]:
        """Return each group of neighbouring columns with its width; columns without a group are groups of ""."""
        names = [group for group, _ in self.columns]
        return [(group, len(list(members))) for group, members in groupby(names)]

    def column(self, index: int) -> list[Cell | str]:
        """Return the cells of one column."""
        return [row[index] for row in self.rows]


def ranked(cells: list[Cell]) -> list[Cell]:
    """Mark the first, second and third of comparable cells, as printed (rounded; equal numbers share a rank).

    Nothing is marked when a cell has no value, since the missing one could be the best, when only one is there, or when
    one is an average over some of the categories.
    """
    if any(cell.incomplete for cell in cells):
        return cells
    values = [round(cell.value, cell.digits) for cell in cells if cell.value is not None]
    if len(values) < len(cells) or len(values) < 2:
        return cells
    ranks = [1 + sum(other > value for other in values) for value in values]
    return [replace(cell, rank=rank if rank <= 3 else 0) for cell, rank in zip(cells, ranks, strict=True)]


def numbers_of(cells: Iterable[Cell | Number | None]) -> list[float]:
    """Return the values of those cells that have one."""
    return [cell.value for cell in cells if cell is not None and cell.value is not None]


def rules_between_groups(rows: list[list[Cell | str]]) -> list[int]:
    """Return the rows whose first text is another one than in the row above."""
    return [line for line, (above, row) in enumerate(pairwise(rows), 1) if row[0] != above[0]]


def cell_text(cell: Cell | str, markup: Markup = "text", intervals: bool = False) -> str:
    """Return a cell as it is printed; the first is bold, the second underlined, the third in italics."""
    if isinstance(cell, str):
        number, rest = "", cell
    elif cell.value is None:
        number, rest = "", cell.mark
    else:
        rounded = round(cell.value, cell.digits) + 0.0  # no "-0.0"
        number = EMPHASIS[markup][cell.rank].format(f"{rounded:{'+' if cell.signed else ''}.{cell.digits}f}")
        rest = _beside(cell, intervals) + cell.mark
    return number + (_escaped(rest) if markup == "latex" else rest)


def _beside(cell: Cell, intervals: bool) -> str:
    """Return what stands beside a number: its deviation and, on request, how it was found and its interval."""
    text = ""
    if cell.spread is not None:
        text += f" ± {cell.spread:.{cell.digits}f}" + (f" (n={cell.seeds})" if intervals else "")
    if intervals and cell.low is not None and cell.high is not None:
        text += f" [{cell.low:.{cell.digits}f}, {cell.high:.{cell.digits}f}]"
    if intervals and cell.inside is not None:
        text += " (inside)" if cell.inside else " (outside)"
    return text


def markdown(table: Table, intervals: bool = False) -> str:
    """Return the table for GitHub: title, table, notes."""
    rows = [[cell_text(cell, "markdown", intervals).replace("|", r"\|") for cell in row] for row in table.rows]
    align = ["left" if _is_text(table, column) else "right" for column in range(len(table.columns))]
    body = tabulate(rows, table.headers, tablefmt="pipe", disable_numparse=True, colalign=align if rows else None)
    notes = "".join(f"- {note}\n" for note in _notes(table, intervals))
    return f"**{table.title}**\n\n{body}\n\n{notes}"


def latex(table: Table, intervals: bool = False) -> str:
    """Return a floating table for LaTeX; needs the packages booktabs and graphicx."""
    align = "".join(_latex_align(table, column) for column in range(len(table.columns)))
    lines = []
    for number, row in enumerate(table.rows):
        lines += [r"\midrule"] if number in table.rules else []
        lines.append(" & ".join(cell_text(cell, "latex", intervals) for cell in row) + r" \\")
    notes = "".join(f"\n\\par {_escaped(note)}" for note in _notes(table, intervals))
    return "\n".join(
        [
            "% needs \\usepackage{booktabs,graphicx}",
            r"\begin{table}[tb]",
            r"\centering",
            rf"\caption{{{_escaped(table.title)}}}",
            rf"\label{{tab:{table.name}}}",
            r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{align}}}",
            r"\toprule",
            *_group_header(table),
            " & ".join(_escaped(name) for _, name in table.columns) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            rf"\par\smallskip\footnotesize\raggedright{notes}",
            r"\end{table}",
            "",
        ]
    )


def _is_text(table: Table, column: int) -> bool:
    return all(isinstance(cell, str) for cell in table.column(column))


def _notes(table: Table, intervals: bool) -> list[str]:
    """Return the notes, and that on brackets where some are shown."""
    bracketed = any(isinstance(cell, Cell) and cell.low is not None for row in table.rows for cell in row)
    return [*table.notes, *([INTERVAL_NOTE] if intervals and bracketed else [])]


def _latex_align(table: Table, column: int) -> str:
    """Return the alignment of a column; long texts are set in paragraphs."""
    if not _is_text(table, column):
        return "r"
    return r"p{0.7\linewidth}" if max(len(str(cell)) for cell in table.column(column)) > 60 else "l"


def _group_header(table: Table) -> list[str]:
    """Return the line of column groups and the rules under them; nothing if no column has a group."""
    if not any(group for group, _ in table.columns):
        return []
    cells, rules, column = [], [], 1
    for group, width in table.spans:
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{_escaped(group)}}}")
        if group:
            rules.append(rf"\cmidrule(lr){{{column}-{column + width - 1}}}")
        column += width
    return [" & ".join(cells) + r" \\", " ".join(rules)]


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{letter: "\\" + letter for letter in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "–": "--",
        "−": "$-$",
        "±": r"$\pm$",
        "≥": r"$\ge$",
        "≤": r"$\le$",
        "Δ": r"$\Delta$",
        "λ": r"$\lambda$",
        "β": r"$\beta$",
        "†": r"$^\dagger$",
        "‡": r"$^\ddagger$",
        "·": r"$\cdot$",
        "×": r"$\times$",
        "…": r"\dots{}",
    }
)


def _escaped(text: str) -> str:
    """Escape a text for LaTeX; L_n and the like become mathematics."""
    return re.sub(r"(?<![^ (])([LM])\\_(\w+)", r"$\1_{\\mathrm{\2}}$", text.translate(_LATEX))


def csv_text(table: Table) -> str:
    """Return the numbers, unrounded, one row per table row; intervals and certainties are columns of their own."""
    columns = []
    for index, header in enumerate(table.headers):
        cells = table.column(index)
        columns.append([header, *(_csv_value(cell if isinstance(cell, str) else cell.value) for cell in cells)])
        for name in ("low", "high", "spread", "about"):
            values = [_csv_value(getattr(cell, name)) if isinstance(cell, Cell) else "" for cell in cells]
            columns += [[f"{header} ({name})", *values]] if any(values) else []
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(zip(*columns, strict=True))
    return buffer.getvalue()


def _csv_value(value: float | str | None) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else value or ""


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write ``{name}.md``, ``.tex``, ``.csv`` and, with intervals, ``{name}_intervals.md`` and ``.tex``."""
    texts = {
        f"{table.name}.md": markdown(table),
        f"{table.name}.tex": latex(table),
        f"{table.name}.csv": csv_text(table),
        f"{table.name}_intervals.md": markdown(table, intervals=True),
        f"{table.name}_intervals.tex": latex(table, intervals=True),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]
