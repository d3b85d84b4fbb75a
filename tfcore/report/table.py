"""A table of cells, and how it is written as Markdown, LaTeX (booktabs) and CSV."""

import csv
import io
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

from tabulate import tabulate

from tfcore.runtime.files import write_text

MARKS = {"printed": "", "derived": "†", "other-source": "‡"}
UNKNOWN = "?"


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
    about: str = ""  # in the CSV beside the number: its certainty, or how much an average stands on

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
    rules: list[int] = field(default_factory=list)  # rows before which LaTeX draws a rule
    interval_notes: list[str] = field(default_factory=list)  # for the variant with intervals

    @property
    def spans(self) -> list[tuple[str, int]]:
        """Return each group of neighbouring columns with its width; columns without a group are groups of ""."""
        names = [group for group, _ in self.columns]
        return [(group, len(list(members))) for group, members in groupby(names)]


Markup = Literal["markdown", "latex", "text"]


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


def cell_text(cell: Cell | str, markup: Markup = "text", intervals: bool = False) -> str:
    """Return a cell as it is printed; the first is bold, the second underlined, the third in italics."""
    if isinstance(cell, str):
        return _escaped(cell) if markup == "latex" else cell
    if cell.value is None:
        return _superscript(cell.mark, markup)
    sign = "+" if cell.signed else ""
    rounded = round(cell.value, cell.digits) + 0.0  # no "-0.0"
    text = _emphasised(f"{rounded:{sign}.{cell.digits}f}", cell.rank, markup)
    if cell.spread is not None:
        text += f"{_math('±', markup)}{cell.spread:.{cell.digits}f}"
        text += f" (n={cell.seeds})" if intervals else ""
    if intervals and cell.low is not None and cell.high is not None:
        text += f" [{cell.low:.{cell.digits}f}, {cell.high:.{cell.digits}f}]"
    if intervals and cell.inside is not None:
        text += " (inside)" if cell.inside else " (outside)"
    return text + _superscript(cell.mark, markup)


def _math(symbol: str, markup: Markup) -> str:
    return r" $\pm$ " if markup == "latex" else f" {symbol} "


def _superscript(mark: str, markup: Markup) -> str:
    symbols = {"†": r"$^\dagger$", "‡": r"$^\ddagger$"}
    return "".join(symbols.get(letter, letter) for letter in mark) if markup == "latex" else mark


def _emphasised(number: str, rank: int, markup: Markup) -> str:
    if markup == "latex":
        return (number, rf"\textbf{{{number}}}", rf"\underline{{{number}}}", rf"\textit{{{number}}}")[rank]
    if markup == "markdown":
        return (number, f"**{number}**", f"<u>{number}</u>", f"*{number}*")[rank]
    return number


def markdown(table: Table, intervals: bool = False) -> str:
    """Return the table for GitHub: title, table, notes."""
    headers = [f"{group}: {name}" if group and name else group or name for group, name in table.columns]
    rows = [[cell_text(cell, "markdown", intervals).replace("|", r"\|") for cell in row] for row in table.rows]
    align = ["left" if _is_text(table, column) else "right" for column in range(len(headers))]
    body = tabulate(rows, headers, tablefmt="pipe", disable_numparse=True, colalign=align if rows else None)
    notes = "".join(f"- {note}\n" for note in table.notes + (table.interval_notes if intervals else []))
    return f"**{table.title}**\n\n{body}\n\n{notes}"


def latex(table: Table, intervals: bool = False) -> str:
    """Return a floating table for LaTeX; needs the packages booktabs and graphicx."""
    align = "".join(_latex_align(table, column) for column in range(len(table.columns)))
    lines = []
    for number, row in enumerate(table.rows):
        if number in table.rules:
            lines.append(r"\midrule")
        lines.append(" & ".join(cell_text(cell, "latex", intervals) for cell in row) + r" \\")
    names = " & ".join(_escaped(name) for _, name in table.columns) + r" \\"
    said = table.notes + (table.interval_notes if intervals else [])
    notes = "".join(f"\n\\par {_escaped(note)}" for note in said)
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
            names,
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}}",
            rf"\par\smallskip\footnotesize\raggedright{notes}",
            r"\end{table}",
            "",
        ]
    )


def _latex_align(table: Table, column: int) -> str:
    """Return the alignment of a column; long texts are set in paragraphs."""
    if not _is_text(table, column):
        return "r"
    longest = max((len(cell) for row in table.rows if isinstance(cell := row[column], str)), default=0)
    return r"p{0.7\linewidth}" if longest > 60 else "l"


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


_LATEX = {
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


def _escaped(text: str) -> str:
    """Escape a text for LaTeX; L_n and the like become mathematics."""
    words = []
    for word in text.split(" "):
        head, underscore, tail = word.partition("_")
        stem = tail.rstrip(").,;:")
        if underscore and head in ("L", "M", "(M") and stem:
            bracket = "(" if head.startswith("(") else ""
            words.append(rf"{bracket}${head[-1]}_{{\mathrm{{{stem}}}}}${tail[len(stem) :]}")
        else:
            words.append("".join(_LATEX.get(letter, letter) for letter in word))
    return " ".join(words)


def _is_text(table: Table, column: int) -> bool:
    return all(isinstance(row[column], str) for row in table.rows)


def csv_text(table: Table) -> str:
    """Return the numbers, unrounded, one row per table row; intervals and certainties are columns of their own."""
    numeric = [column for column in range(len(table.columns)) if not _is_text(table, column)]
    extras = {column: _extra_columns(table, column) for column in numeric}
    headers = []
    for column, (group, name) in enumerate(table.columns):
        label = f"{group}: {name}" if group and name else group or name
        headers += [label, *(f"{label} ({extra})" for extra in extras.get(column, []))]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(headers)
    for row in table.rows:
        values: list[str] = []
        for column, cell in enumerate(row):
            values += _csv_values(cell, extras.get(column, []))
        writer.writerow(values)
    return buffer.getvalue()


def _extra_columns(table: Table, column: int) -> list[str]:
    cells = [row[column] for row in table.rows]
    return [
        name
        for name in ("low", "high", "spread", "about")
        if any(isinstance(cell, Cell) and getattr(cell, name) not in (None, "") for cell in cells)
    ]


def _csv_values(cell: Cell | str, extras: list[str]) -> list[str]:
    if isinstance(cell, str):
        return [cell, *("" for _ in extras)]
    numbers = [cell.value, *(getattr(cell, name) for name in extras)]
    return ["" if value is None else value if isinstance(value, str) else f"{value:.6g}" for value in numbers]


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
