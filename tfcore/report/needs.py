"""What tables and page are made from: their datasets, their score files, and the settings that they show."""

from pathlib import Path
from typing import Any

from tfcore.config import Settings
from tfcore.runs import Run

LAYOUTS = {"VisA": "visa", "MVTec AD": "mvtec"}  # of the paper's datasets


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


def score_files(settings: Settings) -> list[Path]:
    """Return the score files of all selected runs that are there, sweeps and kept epochs included."""
    runs = [
        Run(dataset, category, variant, seed)
        for dataset in settings.run.datasets
        for variant in settings.selected_variants
        for category in settings.covered_categories(dataset, variant)
        for seed in settings.run.seeds
    ]
    epochs = sorted(Path("results").glob("metrics_epoch*"))
    files = [
        file for run in runs for file in (run.scores, run.sweep, *(each / run.id / "scores.csv" for each in epochs))
    ]
    return [file for file in files if file.exists()]


def shown_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that the page shows: all but those that say nothing about a result.

    Left out are the hardware, and where somebody's data lie.
    """
    values = settings.model_dump(mode="json", by_alias=True, exclude={"hardware": True, "run": {"release"}})
    for section in (values["textures"], *values["datasets"].values()):
        del section["local"]
    return values
