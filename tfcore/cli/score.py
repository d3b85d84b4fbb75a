"""Commands of scoring: a run's maps, its sweeps, all results together, and anybody's own maps."""

from pathlib import Path
from typing import Annotated

import typer

from tfcore.cli import app
from tfcore.cli.options import DEFAULT_PARAMS, Category, Dataset, Params, Seed, Variant, load_run
from tfcore.methods.registry import load_settings
from tfcore.runs.stages import shared_run, stage_settings
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import write_text

Maps = Annotated[Path | None, typer.Option(help="Maps file; default: where inference put the run's.")]
Out = Annotated[Path | None, typer.Option(help="CSV to write; default: the run's place in results/metrics.")]


@app.command("score-run")
def score_run_command(
    dataset: Dataset,
    category: Category,
    variant: Variant = "full",
    seed: Seed = 0,
    epoch: Annotated[int | None, typer.Option(help="Score the maps of this intermediate checkpoint.")] = None,
    maps: Maps = None,
    out: Out = None,
    params: Params = DEFAULT_PARAMS,
) -> None:
    """Score the maps of a run: image and pixel metrics with intervals, one row each."""
    from tfcore.methods.score import score_run

    settings, run = load_run(params, dataset, category, variant, seed)
    inferred = shared_run(settings, "infer", run)
    stage = stage_settings(settings, "score", variant)
    point = "main" if epoch is None else f"epoch={epoch}"
    score_run(maps or inferred.maps_at(epoch), stage, out or run.scores_at(epoch), run, point)


@app.command("sweep-run")
def sweep_run_command(
    dataset: Dataset,
    category: Category,
    variant: Variant = "full",
    seed: Seed = 0,
    maps: Maps = None,
    out: Out = None,
    params: Params = DEFAULT_PARAMS,
) -> None:
    """Score a run's maps at every sweep point of its method; nothing is inferred again."""
    from tfcore.methods.score import sweep_run

    settings, run = load_run(params, dataset, category, variant, seed)
    inferred = shared_run(settings, "infer", run)
    sweep_run(maps or inferred.maps, stage_settings(settings, "sweep", variant), out or run.sweep, run)


@app.command("gather")
def gather_command(
    files: Annotated[list[Path] | None, typer.Argument(help="Score and sweep files.")] = None,
    files_from: Annotated[Path | None, typer.Option(help="Text file with one such path a line.")] = None,
    out: Annotated[Path, typer.Option(help="Table of all metrics.")] = Path("results/metrics.csv"),
    out_json: Annotated[Path, typer.Option(help="Summary for `dvc metrics`.")] = Path("results/metrics.json"),
    params: Params = DEFAULT_PARAMS,
) -> None:
    """Gather all scores into one table with averages; a dataset that lacks a category gets no average."""
    from tfcore.metrics.gather import averaging, gather, read_list

    settings = load_settings(*params)
    listed = [*(files or []), *(read_list(files_from) if files_from else [])]
    if not listed and files_from is None:
        raise UserError("no score file was given: score a run first (tfcore score-run)")
    gather(listed, out, out_json, **averaging(settings))


@app.command("score")
def score_command(
    maps: Annotated[Path, typer.Option(help="Anomaly maps, .npy (images, height, width); higher = more anomalous.")],
    masks: Annotated[Path, typer.Option(help="Ground truth, .npy of the same shape; non-zero = anomalous.")],
    labels: Annotated[Path | None, typer.Option(help="Image labels, .npy (images,); default: from the masks.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Image scores, .npy; default: each map's maximum.")] = None,
    fpr_limit: Annotated[float, typer.Option(help="AUPRO integrates to this false positive rate.")] = 0.3,
    resamples: Annotated[int, typer.Option(min=0, help="Bootstrap resamples; 0 = no intervals.")] = 2000,
    confidence: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    out: Annotated[Path | None, typer.Option(help="JSON to write; default: print it.")] = None,
) -> None:
    """Score the maps of any method: image AUROC and AP, AUPRO, pixel AUROC and AP, with intervals, as JSON."""
    from tfcore.metrics.standalone import score_files

    text = score_files(maps, masks, labels, scores, fpr_limit, resamples, confidence)
    if out is None:
        typer.echo(text)
    else:
        write_text(out, text + "\n")
