"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from tfcore.methods.registry import load_settings
from tfcore.runs.run import Run
from tfcore.runtime.errors import UserError
from tfcore.settings.variants import Settings

Params = Annotated[
    list[Path], typer.Option("--params", help="Settings file; repeat for overlays, later ones win.", show_default=True)
]
Dataset = Annotated[str, typer.Option(help="Dataset, as named in the settings.")]
Category = Annotated[str, typer.Option(help="Category of the dataset.")]
Variant = Annotated[str, typer.Option(help="Variant of the method, as named in the settings.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the run.")]

DEFAULT_PARAMS = [Path("params.yaml")]


def load_run(params: list[Path], dataset: str, category: str, variant: str, seed: int = 0) -> tuple[Settings, Run]:
    """Read the settings and return the run that is named; `UserError` for a name that they do not know."""
    settings = load_settings(*params)
    check_category(settings, dataset, category)
    if variant not in settings.variants:
        raise UserError(f"no such variant '{variant}' (known: {', '.join(settings.variants)})")
    return settings, Run(dataset, category, variant, seed)


def check_category(settings: Settings, dataset: str, category: str) -> None:
    """Refuse a dataset or category that the settings do not know."""
    known = settings.dataset(dataset).categories
    if category not in known:
        raise UserError(f"no such category '{category}' in {dataset} (known: {', '.join(known)})")
