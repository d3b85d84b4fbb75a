"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from tfcore.config import Settings
from tfcore.errors import UserError

Params = Annotated[
    list[Path], typer.Option("--params", help="Settings file; repeat for overlays, later ones win.", show_default=True)
]
Dataset = Annotated[str, typer.Option(help="Dataset, as named in the settings.")]
Category = Annotated[str, typer.Option(help="Category of the dataset.")]
Variant = Annotated[str, typer.Option(help="Variant of the method, as named in the settings.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the run.")]

DEFAULT_PARAMS = [Path("params.yaml")]


def check_names(settings: Settings, dataset: str, category: str, variant: str) -> None:
    """Refuse a dataset, category or variant that the settings do not know."""
    if dataset not in settings.datasets:
        raise UserError(f"--dataset: no such dataset '{dataset}' (known: {', '.join(settings.datasets)})")
    known = settings.datasets[dataset].categories
    if category not in known:
        raise UserError(f"--category: no such category '{category}' in {dataset} (known: {', '.join(known)})")
    if variant not in settings.variants:
        raise UserError(f"--variant: no such variant '{variant}' (known: {', '.join(settings.variants)})")
