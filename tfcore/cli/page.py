"""Commands that write pages: the report and the settings page of the documentation."""

from pathlib import Path
from typing import Annotated

import typer

from tfcore.cli import app
from tfcore.cli.options import DEFAULT_PARAMS, Params

SNAKEMAKE = "snakemake --profile slurm"


@app.command("settings-doc")
def settings_doc(
    params: Params = DEFAULT_PARAMS,
    out: Annotated[Path, typer.Option(help="Markdown file to write.")] = Path("docs/settings.md"),
) -> None:
    """Write the settings page of the documentation from the settings models."""
    from tfcore.config import load_settings
    from tfcore.files import write_text
    from tfcore.settings_doc import settings_page

    write_text(out, settings_page(load_settings(*params)))


@app.command("report")
def report(
    params: Params = DEFAULT_PARAMS,
    out: Annotated[Path, typer.Option(help="Page to write.")] = Path("results/report/index.html"),
    snakemake: Annotated[str, typer.Option(help="Snakemake with its options, for the commands to copy.")] = SNAKEMAKE,
    examples: Annotated[int, typer.Option(help="Examples per category.", min=1)] = 6,
) -> None:
    """Write the report: one self-contained page of everything that has been measured in this folder."""
    from tfcore.config import load_settings
    from tfcore.report.page import write_page

    write_page(Path(), load_settings(*params), out, snakemake, examples)
    print(out)
