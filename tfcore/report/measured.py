"""The measured side of tables and figures: look up cells and averages in ``results/metrics.csv``."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import mean, stdev

import pandas as pd

from tfcore.metrics.gather import AVERAGE
from tfcore.metrics.rows import COLUMNS
from tfcore.paper.numbers import paper_categories
from tfcore.report.table import Cell
from tfcore.runs.stages import method_of, shared_variant
from tfcore.runtime.errors import UserError
from tfcore.settings.variants import Settings


@dataclass(frozen=True)
class ReportedMetric:
    """A metric that tables report: its name here and in the paper's Tables 3 and 4, and how columns are headed."""

    name: str
    published: str
    title: str
    heading: str
    task: str


METRICS = (
    ReportedMetric("image_auroc", "Det AUROC", "Image AUROC", "Det. AUROC", "Det."),
    ReportedMetric("aupro", "Loc AUPRO", "AUPRO", "Loc. AUPRO", "Loc."),
)

_Key = tuple[str, str, str, str, str, str]  # method, dataset, category, variant, point, metric
_Value = tuple[float, float | None, float | None]  # value, low, high in per cent


@dataclass(frozen=True)
class Source:
    """What a measured column or row shows: a variant at a sweep point; ``method`` if it is not the variant's."""

    variant: str
    point: str = "main"
    method: str | None = None


class Measured:
    """Measured numbers as table cells, in per cent; what has not been measured is an empty cell."""

    def __init__(self, rows: pd.DataFrame, settings: Settings) -> None:
        self.settings = settings
        self._cells: dict[_Key, dict[str, _Value]] = defaultdict(dict)
        self._parts: dict[tuple[str, ...], set[str]] = defaultdict(set)
        seeds = {str(seed) for seed in settings.run.seeds}
        self.left_out = sorted(set(rows["seed"].astype(str)) - seeds)  # seeds that the benchmark does not cover
        for row in rows[rows["seed"].astype(str).isin(seeds)][list(COLUMNS)].to_dict("records"):
            dataset, category, point, metric = (str(row[name]) for name in ("dataset", "category", "point", "metric"))
            key = (str(row["method"]), dataset, category, str(row["variant"]), point, metric)
            if str(row["seed"]) in self._cells[key]:
                raise UserError(f"metrics: two rows for {'/'.join(key)}, seed {row['seed']}; gather the scores again")
            low, high = (None if pd.isna(row[name]) else 100 * float(row[name]) for name in ("low", "high"))
            if (dataset, category) != (AVERAGE, AVERAGE):  # the parts of an average: categories, or datasets
                whole, part = (AVERAGE, dataset) if category == AVERAGE else (dataset, category)
                self._parts[key[0], whole, key[3], point, metric].add(part)
            self._cells[key][str(row["seed"])] = (100 * float(row["value"]), low, high)
        named = (settings.tables.baseline, settings.ablation_baseline, *settings.tables.compare)
        self.covered = {*settings.selected_variants, *named}  # variants that the benchmark covers
        self.used: set[tuple[str, str, str, str, str]] = set()  # method, dataset, category, variant, seed looked up
        self._methods = {variant: method_of(settings, variant) for variant in settings.variants}
        known = {method.name for method in self._methods.values()}
        self.other_methods = sorted(set(rows["method"]) - known)  # whose maps somebody has scored

    def categories(self, dataset: str) -> list[str]:
        """Return the categories of a dataset that the benchmark covers."""
        return self.settings.datasets[dataset].categories

    def covers_paper(self, dataset: str) -> bool:
        """Return whether the categories are the paper's; averages over others are of different things."""
        published = self.settings.datasets[dataset].published
        return published is not None and set(self.categories(dataset)) == set(paper_categories(published))

    def sources(self) -> list[tuple[str, Source]]:
        """Return title and source of every measured column: the baseline, what is compared, further methods."""
        tables = self.settings.tables
        titles = [self._methods[name].title for name in (tables.baseline, *tables.compare)]
        found = [(titles[0], Source(tables.baseline))]
        for name, title in zip(tables.compare, titles[1:], strict=True):
            found.append((title if titles.count(title) == 1 else f"{title} ({name})", Source(name)))
        return found + [(name, Source(tables.baseline, method=name)) for name in self.other_methods]

    def method(self, source: Source) -> str:
        """Return the name of a source's method."""
        variant = self._methods.get(source.variant)
        return source.method or (variant.name if variant else next(iter(self.settings.known_methods)))

    def category(self, dataset: str, category: str, metric: str, source: Source) -> Cell:
        """Return the cell of one category: the value with its interval, or mean and deviation over seeds."""
        return _cell(self._seeds(dataset, category, metric, source))

    def average(self, dataset: str, metric: str, source: Source, only: list[str] | None = None) -> Cell:
        """Return the average over a dataset's categories (or those in ``only``), marked (k/n) while incomplete."""
        categories = self.categories(dataset)
        names = [name for name in self.measured_categories(dataset, metric, source) if only is None or name in only]
        if not names:
            return Cell()
        if names == categories and (gathered := self._gathered(dataset, categories, metric, source)):
            return _cell(gathered)
        value = mean(
            mean(number for number, _, _ in self._seeds(dataset, name, metric, source).values()) for name in names
        )
        count = "" if len(names) == len(categories) else f"{len(names)}/{len(categories)}"
        return Cell(value, mark=f" ({count})" if count else "", about=count)

    def overall(self, metric: str, source: Source) -> Cell:
        """Return the mean of the averages over all selected datasets; empty until each has something."""
        datasets = self.settings.run.datasets
        averages = [self.average(dataset, metric, source) for dataset in datasets]
        values = [cell.value for cell in averages if cell.value is not None]
        if len(values) < len(datasets):
            return Cell()
        if any(cell.mark for cell in averages):
            return Cell(mean(values), mark=" (incomplete)", about="incomplete")
        if len(datasets) == 1:
            return averages[0]
        gathered = self._gathered(AVERAGE, datasets, metric, source)
        return _cell(gathered) if gathered else Cell(mean(values))

    def _gathered(self, dataset: str, parts: list[str], metric: str, source: Source) -> dict[str, _Value]:
        """Return the averages by seed that gathering made (`tfcore.metrics.gather`), if they are over these parts.

        Parts are the categories of a dataset, or all datasets: metrics of more than the benchmark covers have been
        averaged over more.
        """
        method = self.method(source)
        for variant in self._names(source):
            if self._parts.get((method, dataset, variant, source.point, metric)) == set(parts):
                return self._seeds(dataset, AVERAGE, metric, source)
        return {}

    def complete(self, dataset: str, metric: str, source: Source) -> bool:
        """Return whether every category of the dataset has been measured."""
        return all(self._seeds(dataset, name, metric, source) for name in self.categories(dataset))

    def measured_categories(self, dataset: str, metric: str, source: Source) -> list[str]:
        """Return the categories that have been measured."""
        return [name for name in self.categories(dataset) if self._seeds(dataset, name, metric, source)]

    def points(self, prefix: str, source: Source) -> list[str]:
        """Return the sweep points that begin with ``prefix`` (``lambda=``, ``epoch=``), in order of their number."""
        method = self.method(source)
        found = {key[4] for key in self._cells if key[0] == method and key[4].startswith(prefix)}
        return sorted(found, key=lambda point: float(point.removeprefix(prefix)))

    def runs(self, datasets: list[str], sources: list[Source]) -> tuple[int, int]:
        """Return how many runs that a table shows are there, and of how many that the benchmark covers.

        Shared results count once; rows of the paper whose variant is not selected (`run.variants`) do not count.
        """
        wanted = {str(seed) for seed in self.settings.run.seeds}
        distinct = {(source.method, self._names(source)[-1]) for source in sources if source.variant in self.covered}
        found = [
            len(wanted & set(self._seeds(dataset, category, "image_auroc", Source(variant, method=method))))
            for method, variant in distinct
            for dataset in datasets
            for category in self.settings.covered_categories(dataset, variant)
        ]
        return sum(found), len(found) * len(wanted)

    def _names(self, source: Source) -> list[str]:
        """Return the variants under whose names a source may have been scored: those that share all of its results."""
        known = source.variant in self.settings.variants
        shared = shared_variant(self.settings, "score", source.variant) if known else source.variant
        return list(dict.fromkeys([source.variant, shared]))

    def _seeds(self, dataset: str, category: str, metric: str, source: Source) -> dict[str, _Value]:
        """Return values by seed; a variant that shares everything with another may have the other's."""
        method = self.method(source)
        for variant in self._names(source):
            if found := self._cells.get((method, dataset, category, variant, source.point, metric)):
                self.used |= {(method, dataset, category, variant, seed) for seed in found}
                return found
        return {}


def _cell(found: dict[str, _Value]) -> Cell:
    """Return the value with its interval, or mean and deviation over seeds; empty without any."""
    values = [value for value, _, _ in found.values()]
    if len(values) < 2:
        return Cell(*next(iter(found.values()))) if found else Cell()
    return Cell(mean(values), spread=stdev(values), seeds=len(values))
