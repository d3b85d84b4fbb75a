"""What targets are made from: their datasets and their results. Rules, plan and tables all ask here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from tfcore.runs.run import Run
from tfcore.runs.stages import Result, checkpoint_epochs, method_of, shared_run
from tfcore.runtime.errors import UserError
from tfcore.settings.variants import Settings

LAYOUTS = {"VisA": "visa", "MVTec AD": "mvtec"}  # of the paper's datasets
PLACES = {1: "VisA", 2: "MVTec AD", 6: "VisA", 7: "MVTec AD", 8: "VisA", 9: "MVTec AD"}  # tables of one dataset
TABLES = range(1, 10)
EVERYTHING = ("all_tables", "tables", "figures", "report", "metrics")  # the sweeps' figures and the page show all runs
ABLATIONS = ("table4", "ablations")
TARGETS = (*EVERYTHING, "ablations", *(f"table{number}" for number in TABLES), "checkpoints", "maps")


def dataset_for(settings: Settings, published: str) -> str | None:
    """Return the selected dataset that stands in the place of the paper's ``published`` one.

    A benchmark with neither of the paper's datasets (the demo) has its first dataset of the same layout there.
    """
    selected = settings.run.datasets
    for name in selected:
        if settings.datasets[name].published == published:
            return name
    if any(settings.datasets[name].published for name in selected):
        return None
    return next((name for name in selected if settings.datasets[name].layout == LAYOUTS[published]), None)


def further_datasets(settings: Settings) -> list[str]:
    """Return the selected datasets that no numbered table shows; each has a table of its own."""
    numbered = {dataset_for(settings, published) for published in LAYOUTS}
    return [name for name in settings.run.datasets if name not in numbered]


def reported_variants(settings: Settings) -> list[str]:
    """Return the selected variants that Tables 1-3 and 6-9 report: the baseline, and what is compared with it."""
    reported = (settings.tables.baseline, *settings.tables.compare)
    return [variant for variant in settings.selected_variants if variant in reported]


def selected_runs(settings: Settings, variants: list[str], datasets: list[str] | None = None) -> list[Run]:
    """Return the runs of these variants that the targets cover (on ``datasets``), in the order of the tables."""
    return [
        Run(dataset, category, variant, seed)
        for dataset in (settings.run.datasets if datasets is None else datasets)
        for category in settings.datasets[dataset].categories
        for variant in variants
        if category in settings.covered_categories(dataset, variant)
        for seed in settings.run.seeds
    ]


def needed_by(settings: Settings, targets: list[str]) -> list[Result]:
    """Return the results that these targets of the workflow are made from, none twice.

    What those are made from in turn (`tfcore.runs.results.Results.source_of`) is not among them. Raises `UserError`
    for a target that is not in `TARGETS`.
    """
    for target in targets:
        if target not in TARGETS:
            raise UserError(f"no such target '{target}' (known: {', '.join(TARGETS)})")
    return list(dict.fromkeys(result for target in targets for result in _needed(settings, target)))


def _needed(settings: Settings, target: str) -> Iterator[Result]:
    every = selected_runs(settings, settings.selected_variants)
    if target in ("checkpoints", "maps", "all_tables"):
        yield from (Result("train", shared_run(settings, "train", run)) for run in every)
    if target in ("table5", "tables", "report", "all_tables"):
        yield Result("train", timed_run(settings))
    if target == "maps":
        yield from (Result("infer", shared_run(settings, "infer", run)) for run in every)
        yield from _of_epochs(settings, "infer", every)
    scored = _scored(settings, target, every)
    yield from (Result("score", run) for run in scored)
    if target in (*EVERYTHING, *ABLATIONS):
        variants = [name for name in settings.run.sweep_variants if method_of(settings, name).reads("sweep")]
        yield from (Result("sweep", run) for run in selected_runs(settings, variants))
    if target in (*EVERYTHING, "table8", "table9"):
        yield from _of_epochs(settings, "score", scored)


def _scored(settings: Settings, target: str, every: list[Run]) -> list[Run]:
    """Return the runs whose scores a target shows."""
    if target in (*EVERYTHING, *ABLATIONS):
        return every
    number = target.removeprefix("table")
    if number == "3":
        return selected_runs(settings, reported_variants(settings))
    if not number.isdigit() or int(number) not in PLACES:
        return []
    dataset = dataset_for(settings, PLACES[int(number)])
    return [] if dataset is None else selected_runs(settings, reported_variants(settings), [dataset])


def _of_epochs(settings: Settings, stage: Literal["infer", "score"], runs: list[Run]) -> Iterator[Result]:
    """Give the results of the baseline's intermediate checkpoints, which Tables 8 and 9 show."""
    baseline = settings.tables.baseline
    for epoch in checkpoint_epochs(settings, baseline):
        for run in runs:
            if run.variant == baseline:
                yield Result(stage, run, epoch)


def timed_run(settings: Settings) -> Run:
    """Return the run whose inference Table 5 times and whose reverse process a figure shows: the baseline's first."""
    dataset = settings.run.datasets[0]
    run = Run(dataset, settings.datasets[dataset].categories[0], settings.tables.baseline, settings.run.seeds[0])
    return shared_run(settings, "train", run)


def shown_runs(settings: Settings, dataset: str) -> list[Run]:
    """Return the runs that figures and the page show of a dataset: the baseline's, with the first seed."""
    seed, baseline = settings.run.seeds[0], settings.tables.baseline
    return [Run(dataset, category, baseline, seed) for category in settings.dataset(dataset).categories]


def score_files(settings: Settings) -> list[Path]:
    """Return those score files that the settings ask for and that are there."""
    return [result.file for result in needed_by(settings, ["metrics"]) if result.file.exists()]


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that the page shows: all but those that say nothing about a result.

    Left out are the hardware, and where somebody's data and foregrounds lie.
    """
    values = settings.model_dump(mode="json", by_alias=True, exclude={"hardware"})
    for section in (values["textures"], *values["datasets"].values()):
        del section["local"]
    for section in values["datasets"].values():
        section["foregrounds"] = section["foregrounds"] and "given"
    return values
