"""Scores of one run by any method: its final maps, every metric, the score of every image, its sweep."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfcore.methods.registry import scored_method
from tfcore.metrics.maps import MapsFile
from tfcore.metrics.rows import identity, write_images, write_rows, write_source
from tfcore.metrics.score import score_named
from tfcore.runs.run import Run

SWEPT = ("image_auroc", "aupro")


def score_run(
    maps_file: Path | str, settings: Mapping[str, Any], out_csv: Path | str, run: Run | None = None, point: str = "main"
) -> None:
    """Score the maps of a run: one row per metric into ``out_csv``; beside it ``images.csv`` and what both are made of.

    ``settings`` are ``stage_settings(…, "score")``. ``run`` names the rows where maps are shared between variants that
    differ in scoring alone; by default the maps' own header does. ``point`` may be ``epoch=500`` for the maps of an
    intermediate checkpoint.
    """
    source, out = MapsFile(maps_file), Path(out_csv)
    ids = identity(source, run)
    method = scored_method(ids["method"])
    final = method.final_maps(source, settings)
    scores = method.image_scores(source, final)
    metrics = score_named(source, final, scores, settings["score"])
    write_rows(out, [(point, metric) for metric in metrics], ids)
    write_images(out.with_name("images.csv"), source, scores)
    write_source(out, source, "score", settings, ids)


def sweep_run(maps_file: Path | str, settings: Mapping[str, Any], out_csv: Path | str, run: Run | None = None) -> None:
    """Score every sweep point of a run's maps: image_auroc and aupro with intervals, one row each.

    ``settings`` are ``stage_settings(…, "sweep")``; the points are the method's (`Method.sweep_points`).
    """
    source = MapsFile(maps_file)
    ids = identity(source, run)
    method = scored_method(ids["method"])
    rows = [
        (point, metric)
        for point, final in method.sweep_points(source, settings)
        for metric in score_named(source, final, method.image_scores(source, final), settings["score"], aupro_only=True)
        if metric.name in SWEPT
    ]
    write_rows(out_csv, rows, ids)
    write_source(out_csv, source, "sweep", settings, ids)
