"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Params = Annotated[
    list[Path], typer.Option("--params", help="Settings file; repeat for overlays, later ones win.", show_default=True)
]
Dataset = Annotated[str, typer.Option(help="Dataset, as named in the settings.")]
Category = Annotated[str, typer.Option(help="Category of the dataset.")]
Variant = Annotated[str, typer.Option(help="Variant of the method, as named in the settings.")]
Seed = Annotated[int, typer.Option(help="Seed of the run.")]

DEFAULT_PARAMS = [Path("params.yaml")]
