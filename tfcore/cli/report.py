"""Commands that turn metrics into tables, figures and the report."""

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from tfcore.cli import app
from tfcore.cli.options import DEFAULT_PARAMS, Params
from tfcore.methods.registry import load_settings
from tfcore.runs.run import METRICS, TIMING
from tfcore.runs.stages import effect
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import write_text

Metrics = Annotated[Path, typer.Option(help="Gathered metrics.")]
Timing = Annotated[Path, typer.Option(help="Measured inference times, for Table 5.")]

SNAKEMAKE = "snakemake --profile slurm"


@app.command("tables")
def tables(
    names: Annotated[
        list[str] | None, typer.Argument(help="Tables: table1 … table9, table_DATASET; default: all.")
    ] = None,
    params: Params = DEFAULT_PARAMS,
    metrics: Metrics = METRICS,
    files_from: Annotated[
        Path | None, typer.Option(help="Text file with one score file a line, to read instead of the gathered metrics.")
    ] = None,
    timing: Timing = TIMING,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("results/tables"),
    show: Annotated[bool, typer.Option("--show", help="Print the tables as well.")] = False,
) -> None:
    """Write the paper's tables as Markdown, LaTeX and CSV, from what has been measured so far."""
    from tfcore.metrics.gather import gathered_for, read_list
    from tfcore.report.tables.overview import write_tables

    settings = load_settings(*params)
    rows = metrics if files_from is None else gathered_for(settings, read_list(files_from))
    for file in write_tables(rows, settings, out, names, timing):
        if show and file.suffix == ".md" and not file.stem.endswith("_intervals"):
            typer.echo(file.read_text(encoding="utf-8"))


@app.command("explain")
def explain(
    table: Annotated[Path, typer.Argument(help="Table as Markdown, such as results/tables/table2.md.")],
    params: Params = DEFAULT_PARAMS,
    metrics: Annotated[Path | None, typer.Option(help="Gathered metrics; default: the scores that are there.")] = None,
    timing: Timing = TIMING,
) -> None:
    """Tell from which runs, settings and commits a table was made."""
    from tfcore.report.explain import explain as explained

    typer.echo(explained(table, load_settings(*params), metrics, timing))


@app.command("claims")
def claims(
    params: Params = DEFAULT_PARAMS,
    metrics: Metrics = METRICS,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = Path("results/tables"),
) -> None:
    """Check the paper's statements against the measured numbers: reproduced, not reproduced, or not measured yet."""
    from tfcore.report.claims.claims import write_claims

    write_claims(metrics, load_settings(*params), out)


FigureName = Literal[
    "lambda_sweep", "kernel_sweep", "reverse_process", "reconstructions", "failures", "examples", "losses"
]


@app.command("figure")
def figure(
    name: FigureName,
    dataset: Annotated[str | None, typer.Option(help="Dataset, for the figures drawn per dataset.")] = None,
    params: Params = DEFAULT_PARAMS,
    metrics: Metrics = METRICS,
    trace: Annotated[Path | None, typer.Option(help="Trace, for the reverse process.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="File without suffix; default: results/figures/NAME or NAME_DATASET.")
    ] = None,
) -> None:
    """Draw one figure as PNG and SVG, with its data as CSV beside it."""
    from tfcore.report.figures import curves, pictures

    settings = load_settings(*params)
    per_dataset = {
        "reconstructions": pictures.reconstruction_figure,
        "failures": pictures.failure_figure,
        "examples": pictures.example_figure,
        "losses": curves.loss_figure,
    }
    if name in per_dataset and dataset is None:
        raise UserError(f"figure {name}: needs --dataset (known: {', '.join(settings.datasets)})")
    out = out or Path("results/figures") / (f"{name}_{dataset}" if name in per_dataset else name)
    if name in per_dataset:
        per_dataset[name](str(dataset), settings, out)
    elif name == "reverse_process":
        if trace is None:
            raise UserError("figure reverse_process: needs --trace (`python -m tfcore trace` makes one)")
        pictures.reverse_figure(trace, out)
    else:
        curves.sweep_figure(name.removesuffix("_sweep"), metrics, settings, out)


@app.command("settings-doc")
def settings_doc(
    params: Params = DEFAULT_PARAMS,
    out: Annotated[Path, typer.Option(help="Markdown file to write.")] = Path("docs/settings.md"),
) -> None:
    """Write the settings page of the documentation from the settings models."""
    from tfcore.settings.doc import settings_page

    settings = load_settings(*params)
    write_text(out, settings_page(settings, partial(effect, settings)))


@app.command("report")
def report(
    params: Params = DEFAULT_PARAMS,
    out: Annotated[Path, typer.Option(help="Page to write.")] = Path("results/report/index.html"),
    snakemake: Annotated[str, typer.Option(help="Snakemake with its options, for the commands to copy.")] = SNAKEMAKE,
    examples: Annotated[int, typer.Option(help="Examples per category.", min=1)] = 6,
) -> None:
    """Write the report: one self-contained page of everything that has been measured in this folder."""
    from tfcore.report.page.page import write_page

    write_page(Path(), load_settings(*params), out, snakemake, examples)
    print(out)
