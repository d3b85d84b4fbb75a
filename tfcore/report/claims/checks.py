"""What has been measured, as evidence for a statement of the paper: values, bounds, and changes to the full model."""

from dataclasses import dataclass
from statistics import mean

from tfcore.report.measured import Measured, Source
from tfcore.report.tables.ablations import PAPER_ROWS, change, source_of
from tfcore.report.tables.published_cells import PAPER_DATASETS
from tfcore.report.tables.table import Cell

TOLERANCE = 0.5  # p.p., where no interval says how sure a number is
ROUNDING = 0.05 + 1e-9  # published numbers have one decimal
VISA, MVTEC = PAPER_DATASETS


@dataclass(frozen=True)
class Part:
    """One number behind a verdict; ``held`` is ``None`` while it has not been measured."""

    text: str
    held: bool | None = None
    unknown: bool = False  # the paper's side is what is missing


class Evidence:
    """Measured averages under the paper's names of the datasets; ``None`` unless all of its categories are measured."""

    def __init__(self, measured: Measured) -> None:
        self.measured = measured
        self.baseline = Source(measured.settings.tables.baseline)
        self._names = {
            str(entry.published): name
            for name, entry in measured.settings.datasets.items()
            if name in measured.settings.run.datasets and entry.published
        }

    def dataset(self, published: str) -> str | None:
        """Return our name of the paper's dataset if the benchmark covers exactly its categories."""
        name = self._names.get(published)
        return name if name is not None and self.measured.covers_paper(name) else None

    def cell(self, published: str, metric: str, source: Source | None = None) -> Cell:
        """Return the average over the dataset, or over both for ``Average``; empty unless complete."""
        source = source or self.baseline
        if published == "Average":
            values = [
                cell.value for name in PAPER_DATASETS if (cell := self.cell(name, metric, source)).value is not None
            ]
            if len(values) == 2 and len(self.measured.settings.run.datasets) == 2:
                return self.measured.overall(metric, source)  # with its interval
            return Cell(mean(values)) if len(values) == 2 else Cell()
        name = self.dataset(published)
        if name is None or not self.measured.complete(name, metric, source):
            return Cell()
        return self.measured.average(name, metric, source)

    def change(self, published: str, metric: str, row: str) -> float | None:
        """Return the difference of an ablation (its name in the paper's Table 4) to the full model, if complete."""
        name = self.dataset(published)
        ablation = next(each for each in PAPER_ROWS if each.published == row)
        found = change(self.measured, name, metric, source_of(ablation, self.measured)) if name else Cell()
        return None if found.mark else found.value


def value(evidence: Evidence, dataset: str, metric: str, stated: float) -> Part:
    """Check a stated average."""
    cell = evidence.cell(dataset, metric)
    if cell.value is None:
        return Part(f"{dataset} –")
    low, high = cell.low, cell.high
    if low is None or high is None:
        low, high = cell.value - TOLERANCE, cell.value + TOLERANCE
    return Part(f"{dataset} {cell.value:.1f}", low - ROUNDING <= stated <= high + ROUNDING)


def at_least(evidence: Evidence, dataset: str, metric: str, bound: float, source: Source | None = None) -> Part:
    """Check that a measured average reaches a bound."""
    found = evidence.cell(dataset, metric, source).value
    return Part(f"{dataset} –") if found is None else Part(f"{dataset} {found:.1f}", found >= bound - ROUNDING)


def ablation(evidence: Evidence, dataset: str, metric: str, row: str, stated: float) -> Part:
    """Check a stated difference to the full model."""
    found = evidence.change(dataset, metric, row)
    label = f"{dataset} {row}" if metric == "image_auroc" else f"{dataset} {row} Loc."
    if found is None:
        return Part(f"{label} –")
    close = abs(found - stated) <= max(TOLERANCE, 0.25 * abs(stated)) + ROUNDING
    return Part(f"{label} {found:+.1f}", close and found * stated >= 0)


def sweep_curve(evidence: Evidence, dataset: str, prefix: str) -> dict[float, float]:
    """Return the average image AUROC by λ or kernel size."""
    curve = {}
    for point in evidence.measured.points(prefix, evidence.baseline):
        cell = evidence.cell(dataset, "image_auroc", Source(evidence.baseline.variant, point))
        if cell.value is not None:
            curve[float(point.removeprefix(prefix))] = cell.value
    return curve
