"""The measured side of tables and figures: look up cells and averages in ``results/metrics.csv``."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import mean, stdev

import pandas as pd

from tfcore.metrics.gather import AVERAGE
from tfcore.paper.numbers import PAPER_DATASETS, paper_categories
from tfcore.report.table import Cell, numbers_of
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

_KEY = ["method", "dataset", "category", "variant", "point", "metric"]


@dataclass(frozen=True)
class Source:
    """What a measured column or row shows: a variant at a sweep point; ``method`` if it is not the variant's."""

    variant: str
    point: str = "main"
    method: str | None = None


class Measured:
    """Measured numbers as table cells, in per cent; what has not been measured is an empty cell.

    Where a dataset is asked for, ``AVERAGE`` is the average over all of them, and as a category that of the dataset.
    """

    def __init__(self, rows: pd.DataFrame, settings: Settings) -> None:
        self.settings, self.baseline = settings, Source(settings.tables.baseline)
        self._cells: dict[tuple[str, ...], dict[str, Cell]] = defaultdict(dict)  # by _KEY, then by seed
        self._parts: dict[tuple[str, ...], set[str]] = defaultdict(set)  # of an average: categories, or datasets
        rows = rows.astype(dict.fromkeys([*_KEY, "seed"], str))
        covered = rows["seed"].isin([str(seed) for seed in settings.run.seeds])
        self.left_out = sorted(set(rows["seed"][~covered]))  # seeds that the benchmark does not cover
        for row in rows[covered].to_dict("records"):
            method, dataset, category, *rest = key = tuple(row[name] for name in _KEY)
            if row["seed"] in self._cells[key]:
                raise UserError(f"metrics: two rows for {'/'.join(key)}, seed {row['seed']}; gather the scores again")
            low, high = (None if pd.isna(row[name]) else 100 * float(row[name]) for name in ("low", "high"))
            self._cells[key][row["seed"]] = Cell(100 * float(row["value"]), low, high)
            if category != AVERAGE:
                self._parts[method, dataset, *rest].add(category)
            elif dataset != AVERAGE:
                self._parts[method, AVERAGE, *rest].add(dataset)
        named = (settings.tables.baseline, settings.ablation_baseline, *settings.tables.compare)
        self.covered = {*settings.selected_variants, *named}  # variants that the benchmark covers
        self.used: set[tuple[str, str, str, str, str]] = set()  # method, dataset, category, variant, seed looked up
        self._methods = {variant: method_of(settings, variant) for variant in settings.variants}
        known = {method.name for method in self._methods.values()}
        self.other_methods = sorted(set(rows["method"]) - known)  # whose maps somebody has scored
        self.from_paper = any(map(self.published_name, settings.run.datasets))  # whether any dataset is the paper's

    @property
    def datasets(self) -> list[str]:
        """Return the selected datasets, and their average where there are several."""
        selected = self.settings.run.datasets
        return [*selected, *([AVERAGE] if len(selected) > 1 else [])]

    def title(self, dataset: str) -> str:
        """Return a dataset's name for readers."""
        return "Average" if dataset == AVERAGE else self.settings.datasets[dataset].title

    def categories(self, dataset: str) -> list[str]:
        """Return the categories of a dataset that the benchmark covers."""
        return self.settings.datasets[dataset].categories

    def published_name(self, dataset: str) -> str | None:
        """Return the paper's name of a dataset; it has an average over its own two alone."""
        if dataset != AVERAGE:
            return self.settings.datasets[dataset].published
        names = [self.published_name(name) or "" for name in self.settings.run.datasets]
        return "Average" if sorted(names) == sorted(PAPER_DATASETS) else None

    def covers_paper(self, dataset: str) -> bool:
        """Return whether the categories are the paper's; averages over others are of different things."""
        published = self.published_name(dataset)
        if dataset == AVERAGE:
            return published is not None and all(map(self.covers_paper, self.settings.run.datasets))
        return published is not None and set(self.categories(dataset)) == set(paper_categories(published))

    def sources(self) -> list[tuple[str, Source]]:
        """Return title and source of every measured column: the baseline, what is compared, further methods."""
        compared = self.settings.tables.compare
        titles = [self._methods[name].title for name in (self.baseline.variant, *compared)]
        found = [(titles[0], self.baseline)]
        for name, title in zip(compared, titles[1:], strict=True):
            found.append((title if titles.count(title) == 1 else f"{title} ({name})", Source(name)))
        return found + [(name, Source(self.baseline.variant, method=name)) for name in self.other_methods]

    def method(self, source: Source) -> str:
        """Return the name of a source's method."""
        variant = self._methods.get(source.variant)
        return source.method or (variant.name if variant else next(iter(self.settings.known_methods)))

    def category(self, dataset: str, category: str, metric: str, source: Source) -> Cell:
        """Return the cell of one category: the value with its interval, or mean and deviation over seeds."""
        if category == AVERAGE:
            return self.average(dataset, metric, source)
        return _over_seeds(self._seeds(dataset, category, metric, source))

    def average(self, dataset: str, metric: str, source: Source, only: list[str] | None = None) -> Cell:
        """Return the average over a dataset's categories (or those in ``only``), marked (k/n) while incomplete."""
        if dataset == AVERAGE:
            return self.overall(metric, source)
        categories = self.categories(dataset)
        names = [name for name in self.measured_categories(dataset, metric, source) if only is None or name in only]
        if names == categories and (gathered := self._gathered(dataset, categories, metric, source)):
            return _over_seeds(gathered)
        return average_of([self.category(dataset, name, metric, source) for name in names], len(categories))

    def overall(self, metric: str, source: Source) -> Cell:
        """Return the mean of the averages over all selected datasets; empty until each has something."""
        datasets = self.settings.run.datasets
        averages = [self.average(dataset, metric, source) for dataset in datasets]
        values = numbers_of(averages)
        if len(values) < len(datasets):
            return Cell()
        if any(cell.mark for cell in averages):
            return Cell(mean(values), mark=" (incomplete)", about="incomplete")
        if len(datasets) == 1:
            return averages[0]
        gathered = self._gathered(AVERAGE, datasets, metric, source)
        return _over_seeds(gathered) if gathered else Cell(mean(values))

    def _gathered(self, dataset: str, parts: list[str], metric: str, source: Source) -> dict[str, Cell]:
        """Return the averages by seed that gathering made (`tfcore.metrics.gather`), if they are over these parts.

        Parts are the categories of a dataset, or all datasets: metrics of more than the benchmark covers have been
        averaged over more.
        """
        method = self.method(source)
        for variant in self._names(source):
            if self._parts.get((method, dataset, variant, source.point, metric)) == set(parts):
                return self._seeds(dataset, AVERAGE, metric, source)
        return {}

    def measured_categories(self, dataset: str, metric: str, *sources: Source) -> list[str]:
        """Return the categories that have been measured for every source."""
        names = self.categories(dataset)
        return [name for name in names if all(self._seeds(dataset, name, metric, source) for source in sources)]

    def points(self, prefix: str, source: Source) -> list[str]:
        """Return the sweep points that begin with ``prefix`` (``lambda=``, ``epoch=``), in order of their number."""
        method = self.method(source)
        found = {key[4] for key in self._cells if key[0] == method and key[4].startswith(prefix)}
        return sorted(found, key=lambda point: float(point.removeprefix(prefix)))

    def runs(self, datasets: list[str], sources: list[Source]) -> tuple[int, int]:
        """Return how many runs that a table shows are there, and of how many that the benchmark covers.

        Shared results count once; rows of the paper whose variant is not selected (`run.variants`) do not count.
        """
        distinct = {(source.method, self._names(source)[-1]) for source in sources if source.variant in self.covered}
        found = [
            len(self._seeds(dataset, category, "image_auroc", Source(variant, method=method)))
            for method, variant in distinct
            for dataset in datasets
            for category in self.settings.covered_categories(dataset, variant)
        ]
        return sum(found), len(found) * len(self.settings.run.seeds)

    def _names(self, source: Source) -> list[str]:
        """Return the variants under whose names a source may have been scored: those that share all of its results."""
        known = source.variant in self.settings.variants
        shared = shared_variant(self.settings, "score", source.variant) if known else source.variant
        return list(dict.fromkeys([source.variant, shared]))

    def _seeds(self, dataset: str, category: str, metric: str, source: Source) -> dict[str, Cell]:
        """Return the cells by seed; a variant that shares everything with another may have the other's."""
        method = self.method(source)
        for variant in self._names(source):
            if found := self._cells.get((method, dataset, category, variant, source.point, metric)):
                self.used |= {(method, dataset, category, variant, seed) for seed in found}
                return found
        return {}


def average_of(cells: list[Cell], total: int) -> Cell:
    """Return the mean of categories, marked (k/n) unless it is over all ``total``; empty without any."""
    values = numbers_of(cells)
    if len(values) in (0, total):
        return Cell(mean(values)) if values else Cell()
    count = f"{len(values)}/{total}"
    return Cell(mean(values), mark=f" ({count})", about=count)


def _over_seeds(found: dict[str, Cell]) -> Cell:
    """Return the cell of a single seed as it is, or mean and deviation over seeds; empty without any."""
    if len(found) < 2:
        return next(iter(found.values()), Cell())
    values = numbers_of(found.values())
    return Cell(mean(values), spread=stdev(values), seeds=len(values))
