"""Sweeps of one run: λ, kernel and mask kind, scored from the same maps; nothing is inferred or trained again."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfcore.metrics.auroc import image_auroc
from tfcore.metrics.maps import MapsFile, final_maps, image_score_grid, mean_filter, read_maps
from tfcore.metrics.pixels import Array
from tfcore.metrics.rows import identity, write_rows, write_source
from tfcore.metrics.score import score_named
from tfcore.runs.run import Run
from tfcore.runtime.files import replacing

SWEPT = ("image_auroc", "aupro")


def sweep_run(maps_file: Path | str, settings: Mapping[str, Any], out_csv: Path | str, run: Run | None = None) -> None:
    """Score every sweep point of a run's maps: image_auroc and aupro with intervals, one row each.

    ``settings`` are `stage_settings(..., "sweep")`. Points are ``lambda=0.9`` and ``kernel=5``, all else as in
    ``score``, and ``mask=disc``, ``mask=recon``, ``mask=last``: one map alone, filtered as the others.
    """
    score = settings["score"]
    source = read_maps(maps_file, score["mask_rule"])
    rows = [
        (point, metric)
        for point, final in _points(source, score, settings["sweeps"])
        for metric in score_named(source, final, score, aupro_only=True)
        if metric.name in SWEPT
    ]
    ids = identity(source, run)
    write_rows(out_csv, rows, ids)
    write_source(out_csv, source, "sweep", settings, ids)


def _points(source: MapsFile, score: Mapping[str, Any], sweeps: Mapping[str, Any]) -> Iterator[tuple[str, Array]]:
    for lambda_ in sweeps["lambda"]:
        yield f"lambda={lambda_:g}", final_maps(source.disc, source.recon, lambda_, score["kernel"])
    for kernel in sweeps["kernel"]:
        yield f"kernel={kernel}", final_maps(source.disc, source.recon, score["lambda"], kernel)
    for mask in sweeps["mask"]:
        yield f"mask={mask}", mean_filter(getattr(source, mask), score["kernel"])


def grid_run(
    maps_files: Sequence[Path | str], lambdas: Sequence[float], kernels: Sequence[int], out_csv: Path | str
) -> None:
    """Write image AUROC of each maps file on the whole grid: columns run_id, lambda, kernel, image_auroc."""
    rows = []
    for maps_file in maps_files:
        source = read_maps(maps_file, "nearest")  # image scores need no masks: either rule will do
        run_id = identity(source)["run_id"]
        scores = image_score_grid(source.disc, source.recon, lambdas, kernels)
        rows += [
            {"run_id": run_id, "lambda": lambda_, "kernel": kernel, "image_auroc": image_auroc(on_point, source.labels)}
            for kernel, on_kernel in zip(kernels, scores, strict=True)
            for lambda_, on_point in zip(lambdas, on_kernel, strict=True)
        ]
    with replacing(out_csv) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ("run_id", "lambda", "kernel", "image_auroc"), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
