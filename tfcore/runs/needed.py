"""What targets are made from: their datasets, their runs and score files, and the settings that they show."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfcore.runs.run import Run, shared_run, stage_settings
from tfcore.runtime.errors import UserError
from tfcore.settings.sections import Settings

LAYOUTS = {"VisA": "visa", "MVTec AD": "mvtec"}  # of the paper's datasets
PLACES = {1: "VisA", 2: "MVTec AD", 6: "VisA", 7: "MVTec AD", 8: "VisA", 9: "MVTec AD"}  # tables of one dataset
EVERYTHING = ("all_tables", "tables", "figures", "report", "metrics")  # the sweeps' figures and the page show all runs
ABLATIONS = ("table4", "ablations")
TARGETS = (*EVERYTHING, "ablations", *(f"table{number}" for number in range(1, 10)), "checkpoints", "maps")


@dataclass
class Needed:
    """The runs that must have weights, maps, scores, a sweep, and maps or scores of the kept epochs; none twice."""

    trained: dict[Run, None] = field(default_factory=dict)
    inferred: dict[Run, None] = field(default_factory=dict)
    scored: dict[Run, None] = field(default_factory=dict)
    swept: dict[Run, None] = field(default_factory=dict)
    kept_maps: dict[Run, None] = field(default_factory=dict)
    kept: dict[Run, None] = field(default_factory=dict)  # scores, hence maps


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


def needed_by(settings: Settings, targets: list[str]) -> Needed:
    """Return the runs that these targets of the workflow stand on; `UserError` for one that is not in `TARGETS`."""
    needed = Needed()
    for target in targets:
        if target not in TARGETS:
            raise UserError(f"no such target '{target}' (known: {', '.join(TARGETS)})")
        _add(needed, settings, target)
    return needed


def _add(needed: Needed, settings: Settings, target: str) -> None:
    every = selected_runs(settings, settings.selected_variants)
    if target in ("checkpoints", "maps", "all_tables"):
        needed.trained |= dict.fromkeys(every)
    if target == "maps":
        needed.inferred |= dict.fromkeys(every)
    if target in ("table5", "tables", "report", "all_tables"):
        needed.trained[_timed_run(settings)] = None
    scored: list[Run] = []
    if target in (*EVERYTHING, *ABLATIONS):
        scored = every
        needed.swept |= dict.fromkeys(selected_runs(settings, settings.run.sweep_variants))
    number = int(target.removeprefix("table")) if target.removeprefix("table").isdigit() else None
    if number == 3 or number in PLACES:
        datasets = settings.run.datasets if number == 3 else [dataset_for(settings, PLACES[number])]
        shown = [dataset for dataset in datasets if dataset is not None]
        scored = selected_runs(settings, reported_variants(settings), shown)
    needed.scored |= dict.fromkeys(scored)
    baseline = settings.tables.baseline
    if number in (8, 9) or target in EVERYTHING:
        needed.kept |= dict.fromkeys(run for run in scored if run.variant == baseline)
    if target == "maps":
        needed.kept_maps |= dict.fromkeys(run for run in every if run.variant == baseline)


def _timed_run(settings: Settings) -> Run:
    dataset = settings.run.datasets[0]
    run = Run(dataset, settings.datasets[dataset].categories[0], settings.tables.baseline, settings.run.seeds[0])
    return shared_run(settings, "train", run)


def score_files(settings: Settings) -> list[Path]:
    """Return those score files that the settings ask for and that are there, sweeps and kept epochs included."""
    needed = needed_by(settings, ["metrics"])
    kept = stage_settings(settings, "train", settings.tables.baseline)["train"]["keep_epochs"]
    files = [run.scores for run in needed.scored] + [run.sweep for run in needed.swept]
    files += [run.scores_at(epoch) for epoch in kept for run in needed.kept]
    return [file for file in files if file.exists()]


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that the page shows: all but those that say nothing about a result.

    Left out are the hardware, and where somebody's data and foregrounds lie.
    """
    values = settings.model_dump(mode="json", by_alias=True, exclude={"hardware": True, "run": {"release"}})
    for section in (values["textures"], *values["datasets"].values()):
        del section["local"]
    for section in values["datasets"].values():
        section["foregrounds"] = section["foregrounds"] and "given"
    return values
