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
ROWS = {name: each for each in reversed(PAPER_ROWS) for name in (each.label, each.published)}  # the first row of a name


@dataclass(frozen=True)
class Part:
    """One number behind a verdict; ``reproduced`` is ``None`` while it has not been measured."""

    text: str
    reproduced: bool | None = None
    unknown: bool = False  # the paper's side is what is missing


def dataset_of(measured: Measured, published: str) -> str | None:
    """Return our name of the paper's dataset if the benchmark covers exactly its categories."""
    name = dataset_for(measured.settings, published)
    return name if name is not None and measured.covers_paper(name) else None


def row_of(measured: Measured, check: Check, name: str = "") -> Cell:
    """Return the average of a row of Table 4 (its name there or here), of the best epochs, or of the baseline."""
    if name == "tuned":
        return _whole(measured, check.dataset, lambda dataset: tuned_average(measured, dataset))
    source = source_of(ROWS[name], measured) if name else measured.baseline
    return average(measured, check.dataset, check.metric, source)


def average(measured: Measured, published: str, metric: str, source: Source) -> Cell:
    """Return the average over the dataset, or over both for ``Average``."""
    if published != "Average":
        return _whole(measured, published, lambda dataset: measured.average(dataset, metric, source))
    values = numbers_of(average(measured, name, metric, source) for name in PAPER_DATASETS)
    if len(values) < len(PAPER_DATASETS):
        return Cell()
    only_these = len(measured.settings.run.datasets) == len(values)
    return measured.overall(metric, source) if only_these else Cell(mean(values))  # the first has an interval


def change_of(measured: Measured, check: Check, name: str) -> Cell:
    """Return the difference of a row of Table 4 to the full model."""
    source = source_of(ROWS[name], measured)
    return _whole(measured, check.dataset, lambda dataset: change(measured, dataset, check.metric, source))


def _whole(measured: Measured, published: str, look_up: Callable[[str], Cell]) -> Cell:
    """Return the cell of our dataset; an empty one without it, or for an average over some categories (marked)."""
    dataset = dataset_of(measured, published)
    cell = look_up(dataset) if dataset else Cell()
    return Cell() if cell.mark else cell


def categories_of(measured: Measured, check: Check) -> dict[str, float]:
    """Return the value of each category that has been measured."""
    dataset = dataset_of(measured, check.dataset) or ""
    names = measured.categories(dataset) if dataset else []
    return _values({name: measured.category(dataset, name, check.metric, measured.baseline) for name in names})


def curve_of(measured: Measured, check: Check, published: str) -> dict[float, float]:
    """Return the average by the number of the check's sweep points (``lambda=``, ``kernel=``)."""
    points = {point: Source(measured.baseline.variant, point) for point in measured.points(check.of, measured.baseline)}
    cells = {point: average(measured, published, check.metric, source) for point, source in points.items()}
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


def number(measured: Measured, check: Check) -> Part:
    """Check one stated number: of an average, or of a difference to the full model."""
    signed = check.kind == "difference"
    cell = change_of(measured, check, check.of) if signed else row_of(measured, check, check.of)
    label = " ".join(filter(None, (check.dataset, check.of, "Loc." if signed and check.metric == "aupro" else "")))
    if cell.value is None:
        return Part(f"{label} –")
    shown = f"{cell.value:+.1f}" if signed else f"{cell.value:.1f}"
    return Part(f"{label} {shown}", NUMBERS[check.kind](cell.value, cell, check))


def rising(measured: Measured, check: Check) -> Part:
    """Check that the average rises from each stated row of Table 4 to the next."""
    rows = names_in(check.stated)
    values = numbers_of(row_of(measured, check, name) for name in rows)
    if len(values) < len(rows):
        return Part(f"{check.dataset} –")
    text = ", ".join(f"{value:.1f}" for value in values)
    return Part(f"{check.dataset} {rows[0]} to {rows[-1]}: {text}", all(a < b for a, b in pairwise(values)))


def lowest(measured: Measured, check: Check) -> Part:
    """Check that the stated categories have the lowest values."""
    if row_of(measured, check).value is None:
        return Part(f"{check.dataset} –")
    found, stated = categories_of(measured, check), names_in(check.stated)
    names = sorted(found, key=lambda name: found[name])[: len(stated)]
    return Part(f"{check.dataset}: {', '.join(names)}", set(names) == set(stated))


def robust_sweep(measured: Measured, check: Check) -> Part:
    """Check that the best point is below the end of the stated range, and that the points within it are alike."""
    low, end = check.span
    name, curve = check.of.replace("lambda=", "λ"), curve_of(measured, check, check.dataset)
    if end not in curve or len(curve) < 3:
        return Part(f"{check.dataset} {name} –")
    best = max(curve, key=lambda point: curve[point])
    large = [value for point, value in curve.items() if low <= point < end]
    robust = bool(large) and max(large) - min(large) <= TOLERANCE
    return Part(f"{check.dataset} best {name} {best:g}", best < end and robust)


def largest_hurts_visa_more(measured: Measured, check: Check) -> Part:
    """Check that the largest point of a sweep loses more to the best one on VisA than on MVTec AD."""
    name, curves = check.of.rstrip("="), [curve_of(measured, check, dataset) for dataset in PAPER_DATASETS]
    if any(len(curve) < 3 for curve in curves):
        return Part(f"{name} –")
    visa, mvtec = (max(curve.values()) - curve[max(curve)] for curve in curves)
    return Part(f"largest {name} loses {visa:.1f} on VisA, {mvtec:.1f} on MVTec AD", visa > mvtec)


KINDS: dict[str, Callable[[Measured, Check], Part]] = {
    **dict.fromkeys(NUMBERS, number),
    **{check.__name__: check for check in (rising, lowest, robust_sweep, largest_hurts_visa_more)},
}
