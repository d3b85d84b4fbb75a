"""Commands that turn metrics into tables, figures and the report."""

from pathlib import Path
from typing import Annotated

import typer

from tfcore.cli import app
from tfcore.cli.options import DEFAULT_PARAMS, Params

Metrics = Annotated[Path, typer.Option(help="Gathered metrics.")]


@app.command("tables")
def tables(
    params: Params = DEFAULT_PARAMS,
    metrics: Metrics = Path("results/metrics.csv"),
    number: Annotated[list[int] | None, typer.Option(help="Table of the paper, 1-9; repeat; default: all.")] = None,
    timing: Annotated[Path, typer.Option(help="Measured inference times, for Table 5.")] = Path("results/timing.csv"),
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("results/tables"),
    show: Annotated[bool, typer.Option("--show", help="Print the tables as well.")] = False,
) -> None:
    """Write the paper's tables as Markdown, LaTeX and CSV, from what has been measured so far."""
    from tfcore.config import load_settings
    from tfcore.report.tables import write_tables

    for file in write_tables(metrics, load_settings(*params), out, number, timing):
        if show and file.suffix == ".md" and not file.stem.endswith("_intervals"):
            typer.echo(file.read_text(encoding="utf-8"))


@app.command("claims")
def claims(
    params: Params = DEFAULT_PARAMS,
    metrics: Metrics = Path("results/metrics.csv"),
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("results/tables"),
) -> None:
    """Check the paper's statements against the measured numbers: held, not held, or not measured yet."""
    from tfcore.config import load_settings
    from tfcore.report.claims import write_claims

    write_claims(metrics, load_settings(*params), out)
