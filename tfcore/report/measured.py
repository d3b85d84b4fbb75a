"""The measured side of tables and figures: look up cells and averages in ``results/metrics.csv``."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import pandas as pd

from tfcore.metrics.rows import COLUMNS
from tfcore.paper.numbers import paper_categories
from tfcore.report.tables.table import Cell
from tfcore.runs.run import METHOD, shared_variant, stage_settings
from tfcore.runtime.errors import UserError
from tfcore.settings.sections import Settings

AVERAGE = "average"
METHOD_TITLES = {METHOD: "TransFusion"}


@dataclass(frozen=True)
class Metric:
    """A metric that tables report: its name here and in the paper's Tables 3 and 4, and how columns are headed."""

    name: str
    published: str
    title: str
    heading: str
    task: str


METRICS = (
    Metric("image_auroc", "Det AUROC", "Image AUROC", "Det. AUROC", "Det."),
    Metric("aupro", "Loc AUPRO", "AUPRO", "Loc. AUPRO", "Loc."),
)

_Key = tuple[str, str, str, str, str, str]  # method, dataset, category, variant, point, metric
_Value = tuple[float, float | None, float | None]  # value, low, high in per cent


def one_line(error: Exception) -> str:
    """Return an error's message without line breaks, which those of pandas have."""
    return " ".join(str(error).split())


def read_metrics(file: Path | str) -> pd.DataFrame:
    """Read ``results/metrics.csv``; `UserError` if it is missing, lacks a column or has values outside [0, 1]."""
    try:
        rows = pd.read_csv(file, dtype={"category": str, "point": str, "seed": str}, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({one_line(error)}); `python -m tfcore gather` makes it") from error
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise UserError(f"{file}: lacks the column {', '.join(missing)}; make it anew by `python -m tfcore gather`")
    for name in ("value", "low", "high"):
        numbers = pd.to_numeric(rows[name].replace("", None), errors="coerce")
        bad = (numbers < 0) | (numbers > 1) | (numbers.isna() & (rows[name] != ""))
        if name == "value":
            bad |= numbers.isna()
        if bad.any():
            line = int(bad.to_numpy().argmax()) + 2
            raise UserError(f"{file}: line {line}: {name} is '{rows[name].iloc[line - 2]}', not a number in [0, 1]")
        rows[name] = numbers
    return rows


@dataclass(frozen=True)
class Source:
    """What a measured column or row shows: a method's variant at a sweep point."""

    variant: str
    point: str = "main"
    method: str = METHOD


class Measured:
    """Measured numbers as table cells, in per cent; what has not been measured is an empty cell."""

    def __init__(self, rows: pd.DataFrame, settings: Settings) -> None:
        self.settings = settings
        self._cells: dict[_Key, dict[str, _Value]] = defaultdict(dict)
        seeds = {str(seed) for seed in settings.run.seeds}
        self.left_out = sorted(set(rows["seed"].astype(str)) - seeds)  # seeds that the benchmark does not cover
        for row in rows[rows["seed"].astype(str).isin(seeds)][list(COLUMNS)].to_dict("records"):
            dataset, category, point, metric = (str(row[name]) for name in ("dataset", "category", "point", "metric"))
            key = (str(row["method"]), dataset, category, str(row["variant"]), point, metric)
            if str(row["seed"]) in self._cells[key]:
                raise UserError(f"metrics: two rows for {'/'.join(key)}, seed {row['seed']}; gather the scores anew")
            low, high = (None if pd.isna(row[name]) else 100 * float(row[name]) for name in ("low", "high"))
            self._cells[key][str(row["seed"])] = (100 * float(row["value"]), low, high)
        named = (settings.tables.baseline, settings.ablation_baseline, *settings.tables.compare)
        self.covered = {*settings.selected_variants, *named}  # variants that the benchmark covers
        self.used: set[tuple[str, str, str, str, str]] = set()  # method, dataset, category, variant, seed looked up
        self._same = {variant: _same_scores(settings, variant) for variant in settings.variants}
        self.methods: list[str] = sorted(set(rows["method"]) | {METHOD}, key=lambda name: (name != METHOD, name))

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
        found = [(METHOD_TITLES[METHOD], Source(tables.baseline))]
        found += [(f"{METHOD_TITLES[METHOD]} ({name})", Source(name)) for name in tables.compare]
        others = [name for name in self.methods if name != METHOD]
        return found + [(METHOD_TITLES.get(name, name), Source(tables.baseline, method=name)) for name in others]

    def category(self, dataset: str, category: str, metric: str, source: Source) -> Cell:
        """Return the cell of one category: the value with its interval, or mean and deviation over seeds."""
        found = self._seeds(dataset, category, metric, source)
        if not found:
            return Cell()
        values = [value for value, _, _ in found.values()]
        if len(values) == 1:
            return Cell(*next(iter(found.values())))
        return Cell(mean(values), spread=stdev(values), seeds=len(values))

    def average(self, dataset: str, metric: str, source: Source, only: list[str] | None = None) -> Cell:
        """Return the average over a dataset's categories (or those in ``only``), marked (k/n) while incomplete."""
        categories = [name for name in self.categories(dataset) if only is None or name in only]
        cells = {name: self._seeds(dataset, name, metric, source) for name in categories}
        cells = {name: found for name, found in cells.items() if found}
        if not cells:
            return Cell()
        value = mean(mean(number for number, _, _ in found.values()) for found in cells.values())
        seeds = set.intersection(*(set(found) for found in cells.values()))
        if any(len(found) > 1 for found in cells.values()):
            per_seed = [mean(found[seed][0] for found in cells.values()) for seed in seeds]
            spread = stdev(per_seed) if len(per_seed) > 1 else None
            return self._marked(Cell(value, spread=spread, seeds=max(len(seeds), 1)), len(cells), dataset)
        gathered = self._seeds(dataset, AVERAGE, metric, source)
        return self._marked(_with_interval(value, gathered), len(cells), dataset)

    def overall(self, metric: str, source: Source) -> Cell:
        """Return the mean of the averages over all selected datasets; empty until each has something."""
        datasets = self.settings.run.datasets
        averages = [self.average(dataset, metric, source) for dataset in datasets]
        values = [cell.value for cell in averages if cell.value is not None]
        if len(values) < len(datasets):
            return Cell()
        if any(cell.mark for cell in averages):
            return Cell(mean(values), mark=" (incomplete)", about="incomplete")
        gathered = self._seeds(AVERAGE, AVERAGE, metric, source)
        if len(gathered) > 1:
            per_seed = [value for value, _, _ in gathered.values()]
            if abs(mean(per_seed) - mean(values)) < 1e-6:  # else gathered over other datasets or seeds
                return Cell(mean(values), spread=stdev(per_seed), seeds=len(per_seed))
        return _with_interval(mean(values), gathered)

    def complete(self, dataset: str, metric: str, source: Source) -> bool:
        """Return whether every category of the dataset has been measured."""
        return all(self._seeds(dataset, name, metric, source) for name in self.categories(dataset))

    def measured_categories(self, dataset: str, metric: str, source: Source) -> list[str]:
        """Return the categories that have been measured."""
        return [name for name in self.categories(dataset) if self._seeds(dataset, name, metric, source)]

    def points(self, prefix: str, source: Source) -> list[str]:
        """Return the sweep points that begin with ``prefix`` (``lambda=``, ``epoch=``), in order of their number."""
        found = {key[4] for key in self._cells if key[0] == source.method and key[4].startswith(prefix)}
        return sorted(found, key=lambda point: float(point.removeprefix(prefix)))

    def runs(self, datasets: list[str], sources: list[Source]) -> tuple[int, int]:
        """Return how many runs that a table shows are there, and of how many that the benchmark covers.

        Shared results count once; rows of the paper whose variant is not selected (`run.variants`) do not count.
        """
        wanted = {str(seed) for seed in self.settings.run.seeds}
        distinct = {
            (source.method, self._same.get(source.variant, source.variant))
            for source in sources
            if source.variant in self.covered
        }
        found = [
            len(wanted & set(self._seeds(dataset, category, "image_auroc", Source(variant, method=method))))
            for method, variant in distinct
            for dataset in datasets
            for category in self.settings.covered_categories(dataset, variant)
        ]
        return sum(found), len(found) * len(wanted)

    def _seeds(self, dataset: str, category: str, metric: str, source: Source) -> dict[str, _Value]:
        """Return values by seed; a variant that shares everything with another may have the other's."""
        for variant in (source.variant, self._same.get(source.variant, source.variant)):
            key = (source.method, dataset, category, variant, source.point, metric)
            if found := self._cells.get(key):
                self.used |= {(source.method, dataset, category, variant, seed) for seed in found}
                return found
        return {}

    def _marked(self, cell: Cell, count: int, dataset: str) -> Cell:
        total = len(self.categories(dataset))
        if count == total:
            return cell
        mark = f"{count}/{total}"
        return Cell(cell.value, None, None, cell.spread, cell.seeds, f" ({mark})", about=mark)


def _same_scores(settings: Settings, variant: str) -> str:
    """Return the variant whose maps and scoring are the same: it may be scored under that name only."""
    shared = shared_variant(settings, "infer", variant)
    scores = [stage_settings(settings, "score", name) for name in (variant, shared)]
    return shared if scores[0] == scores[1] else variant


def _with_interval(value: float, gathered: dict[str, _Value]) -> Cell:
    """Add the gathered interval, unless it belongs to an average over something else or to several seeds."""
    if len(gathered) == 1:
        other, low, high = next(iter(gathered.values()))
        if abs(other - value) < 1e-6:
            return Cell(value, low, high)
    return Cell(value)
