"""Checks of what the paper states (``paper_checks.csv``) against what has been measured."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

from tfcore.paper.numbers import PAPER_DATASETS, Check, names_in
from tfcore.report.measured import Measured, Source
from tfcore.report.table import Cell, numbers_of
from tfcore.report.tables.ablations import PAPER_ROWS, change, source_of
from tfcore.report.tables.by_category import tuned_average
from tfcore.runs.needed import dataset_for

TOLERANCE = 0.5  # p.p., where no interval says how sure a number is
ROUNDING = 0.05 + 1e-9  # published numbers have one decimal
ROWS = {name: row for row in reversed(PAPER_ROWS) for name in (row.label, row.published)}  # the first row of a name


@dataclass(frozen=True)
class Part:
    """One number behind a verdict; ``reproduced`` is ``None`` while it has not been measured."""

    text: str
    reproduced: bool | None = None
    unknown: bool = False  # the paper's side is what is missing


class Evidence:
    """Measured numbers under the paper's names of the datasets; cells are empty unless all categories are measured."""

    def __init__(self, measured: Measured) -> None:
        self.measured = measured
        self.baseline = Source(measured.settings.tables.baseline)

    def dataset(self, published: str) -> str | None:
        """Return our name of the paper's dataset if the benchmark covers exactly its categories."""
        name = dataset_for(self.measured.settings, published)
        return name if name is not None and self.measured.covers_paper(name) else None

    def row(self, published: str, metric: str, row: str = "") -> Cell:
        """Return the average of a row of Table 4 (its name there or here), of the best epochs, or of the baseline."""
        if row == "tuned":
            return self._whole(published, lambda name: tuned_average(self.measured, name))
        return self.average(published, metric, source_of(ROWS[row], self.measured) if row else self.baseline)

    def average(self, published: str, metric: str, source: Source) -> Cell:
        """Return the average over the dataset, or over both for ``Average``."""
        if published != "Average":
            return self._whole(published, lambda name: self.measured.average(name, metric, source))
        values = numbers_of(self.average(name, metric, source) for name in PAPER_DATASETS)
        if len(values) < len(PAPER_DATASETS):
            return Cell()
        only_these = len(self.measured.settings.run.datasets) == len(values)
        return self.measured.overall(metric, source) if only_these else Cell(mean(values))  # the first has an interval

    def change(self, published: str, metric: str, row: str) -> Cell:
        """Return the difference of a row of Table 4 to the full model."""
        source = source_of(ROWS[row], self.measured)
        return self._whole(published, lambda name: change(self.measured, name, metric, source))

    def _whole(self, published: str, look_up: Callable[[str], Cell]) -> Cell:
        """Return the cell of our dataset; an empty one without it, or for an average over some categories (marked)."""
        name = self.dataset(published)
        cell = look_up(name) if name else Cell()
        return Cell() if cell.mark else cell

    def categories(self, published: str, metric: str) -> dict[str, float]:
        """Return the value of each category that has been measured."""
        name = self.dataset(published)
        names = self.measured.categories(name) if name else []
        return _values({each: self.measured.category(str(name), each, metric, self.baseline) for each in names})

    def curve(self, check: Check, dataset: str) -> dict[float, float]:
        """Return the average by the number of the check's sweep points (``lambda=``, ``kernel=``)."""
        points = self.measured.points(check.of, self.baseline)
        cells = {point: self.average(dataset, check.metric, Source(self.baseline.variant, point)) for point in points}
        return {float(point.removeprefix(check.of)): value for point, value in _values(cells).items()}


def _values(cells: dict[str, Cell]) -> dict[str, float]:
    return {name: cell.value for name, cell in cells.items() if cell.value is not None}


def within_interval(found: float, cell: Cell, check: Check) -> bool:
    """Tell whether the stated value lies in the measured interval, or within the tolerance where there is none."""
    low, high = cell.low, cell.high
    if low is None or high is None:
        low, high = found - TOLERANCE, found + TOLERANCE
    return low - ROUNDING <= check.number <= high + ROUNDING


def like_stated(found: float, _: Cell, check: Check) -> bool:
    """Tell whether a difference has the sign of the stated one, and is within the tolerance or a quarter of it."""
    close = abs(found - check.number) <= max(TOLERANCE, 0.25 * abs(check.number)) + ROUNDING
    return close and found * check.number >= 0


NUMBERS: dict[str, Callable[[float, Cell, Check], bool]] = {
    "value": within_interval,
    "at_least": lambda found, _, check: found >= check.number - ROUNDING,
    "above": lambda found, _, check: found >= check.number + ROUNDING,
    "between": lambda found, _, check: check.span[0] <= round(found, 1) <= check.span[1],
    "difference": like_stated,
}


def number(evidence: Evidence, check: Check) -> Part:
    """Check one stated number: of an average, or of a difference to the full model."""
    signed = check.kind == "difference"
    cell = (evidence.change if signed else evidence.row)(check.dataset, check.metric, check.of)
    label = " ".join(filter(None, (check.dataset, check.of, "Loc." if signed and check.metric == "aupro" else "")))
    if cell.value is None:
        return Part(f"{label} –")
    shown = f"{cell.value:+.1f}" if signed else f"{cell.value:.1f}"
    return Part(f"{label} {shown}", NUMBERS[check.kind](cell.value, cell, check))


def rising(evidence: Evidence, check: Check) -> Part:
    """Check that the average rises from each stated row of Table 4 to the next."""
    rows = names_in(check.stated)
    values = numbers_of(evidence.row(check.dataset, check.metric, row) for row in rows)
    if len(values) < len(rows):
        return Part(f"{check.dataset} –")
    text = ", ".join(f"{value:.1f}" for value in values)
    return Part(f"{check.dataset} {rows[0]} to {rows[-1]}: {text}", all(a < b for a, b in pairwise(values)))


def lowest(evidence: Evidence, check: Check) -> Part:
    """Check that the stated categories have the lowest values."""
    if evidence.row(check.dataset, check.metric).value is None:
        return Part(f"{check.dataset} –")
    found, stated = evidence.categories(check.dataset, check.metric), names_in(check.stated)
    names = sorted(found, key=lambda name: found[name])[: len(stated)]
    return Part(f"{check.dataset}: {', '.join(names)}", set(names) == set(stated))


def robust_sweep(evidence: Evidence, check: Check) -> Part:
    """Check that the best point is below the end of the stated range, and that the points within it are alike."""
    low, end = check.span
    name, curve = check.of.replace("lambda=", "λ"), evidence.curve(check, check.dataset)
    if end not in curve or len(curve) < 3:
        return Part(f"{check.dataset} {name} –")
    best = max(curve, key=lambda point: curve[point])
    large = [value for point, value in curve.items() if low <= point < end]
    robust = bool(large) and max(large) - min(large) <= TOLERANCE
    return Part(f"{check.dataset} best {name} {best:g}", best < end and robust)


def largest_hurts_visa_more(evidence: Evidence, check: Check) -> Part:
    """Check that the largest point of a sweep loses more to the best one on VisA than on MVTec AD."""
    name, curves = check.of.rstrip("="), [evidence.curve(check, dataset) for dataset in PAPER_DATASETS]
    if any(len(curve) < 3 for curve in curves):
        return Part(f"{name} –")
    visa, mvtec = (max(curve.values()) - curve[max(curve)] for curve in curves)
    return Part(f"largest {name} loses {visa:.1f} on VisA, {mvtec:.1f} on MVTec AD", visa > mvtec)


KINDS: dict[str, Callable[[Evidence, Check], Part]] = {
    **dict.fromkeys(NUMBERS, number),
    **{check.__name__: check for check in (rising, lowest, robust_sweep, largest_hurts_visa_more)},
}
