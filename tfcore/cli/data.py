"""Commands of the data: fetch, check and pack data sets, and draw the demo's."""

from pathlib import Path
from typing import Annotated

import typer

from tfcore.cli import app
from tfcore.cli.options import DEFAULT_PARAMS, Category, Dataset, Params, check_category
from tfcore.methods.registry import load_settings
from tfcore.runs.run import TEXTURES_FOLDER, Run
from tfcore.runs.stages import stage_settings
from tfcore.runtime.errors import UserError

RAW = Path("data/raw")


@app.command("demo-data")
def demo_data_command(
    out: Annotated[Path, typer.Option(help="Folder to write demo_mvtec, demo_visa and textures into.")] = Path(
        "data/demo"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the drawings.")] = 0,
) -> None:
    """Draw the demo's two small datasets and its textures."""
    from tfcore.data.demo.make import make_demo_data

    make_demo_data(out, seed)


@app.command("fetch")
def fetch_command(
    dataset: Annotated[str | None, typer.Option(help="Dataset, as named in the settings.")] = None,
    textures: Annotated[bool, typer.Option("--textures", help="Fetch the textures.")] = False,
    params: Params = DEFAULT_PARAMS,
) -> None:
    """Download and extract a dataset or the textures, or link the local copy that the settings name."""
    from tfcore.data.fetch import fetch

    settings = load_settings(*params)
    if (dataset is None) == (not textures):
        raise UserError("fetch: give either --dataset NAME or --textures")
    if dataset is None:
        fetch("textures", settings.textures, RAW)
    else:
        fetch(dataset, settings.dataset(dataset), RAW)


@app.command("check-data")
def check_data_command(
    dataset: Annotated[str | None, typer.Argument(help="Dataset; default: all of run.datasets.")] = None,
    category: Annotated[str | None, typer.Option(help="Only this category.")] = None,
    params: Params = DEFAULT_PARAMS,
) -> None:
    """Check datasets file by file, print what was found, and write the manifests; exit code 1 if data are missing."""
    from tfcore.data.check import check_data, table

    settings = load_settings(*params)
    if category is not None and dataset is None:
        raise UserError("check-data: --category needs the dataset before it")
    complete = True
    for name in settings.run.datasets if dataset is None else [dataset]:
        selected = settings.dataset(name)
        if category is not None:
            check_category(settings, name, category)
        files = {each: Run(name, each).manifest for each in ([category] if category else selected.categories)}
        reports = check_data(name, RAW / name, selected, files)
        print(table(name, reports))
        complete &= all(report.ok for report in reports)
    if not complete:
        raise typer.Exit(1)


@app.command("pack")
def pack_command(dataset: Dataset, category: Category, params: Params = DEFAULT_PARAMS) -> None:
    """Decode and resize a category's images and masks once."""
    from tfcore.data.pack import pack

    settings = load_settings(*params)
    check_category(settings, dataset, category)
    stage = stage_settings(settings, "pack")
    run = Run(dataset, category)
    pack(dataset, category, RAW / dataset, settings.datasets[dataset], stage, run.manifest, run.packed)


@app.command("pack-textures")
def pack_textures_command(params: Params = DEFAULT_PARAMS) -> None:
    """Decode and resize the textures once."""
    from tfcore.data.pack import pack_textures

    pack_textures(RAW / "textures", load_settings(*params).textures, TEXTURES_FOLDER)
