"""Rows of scores: one metric of one run at one point each, with the ids of the run."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfcore.runs.record import source_commit
from tfcore.runs.run import Run
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import digest, replacing, sha256_of, write_json

if TYPE_CHECKING:  # tables are made of rows, and need none of what reads maps
    from tfcore.metrics.maps import MapsFile
    from tfcore.metrics.pixels import Array

COLUMNS = (
    "method",
    "dataset",
    "category",
    "variant",
    "seed",
    "point",
    "metric",
    "value",
    "low",
    "high",
    "run_id",
    "commit",
    "device",
)


IMAGE_COLUMNS = ("file", "label", "defect", "score")
"""Of ``images.csv``: label 1 = anomalous, defect as its folder says, score as the image metrics use it."""


@dataclass(frozen=True)
class Metric:
    """A metric in [0, 1] with its interval, which may be unknown."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def identity(source: "MapsFile", run: Run | None = None) -> dict[str, str]:
    """Return the columns that say which run this is: from the maps' own header, or under the name of ``run``."""
    header = source.header
    ids = header.get("run")
    missing = [key for key in ("files", "defects") if not isinstance(header.get(key), list)]
    if missing:
        raise UserError(f"{source.path}: its header lacks '{missing[0]}'; make the maps again (tfcore infer)")
    if not isinstance(ids, dict) or any(key not in ids for key in ("method", "dataset", "category", "variant", "seed")):
        raise UserError(f"{source.path}: its header does not say which run it is; make the maps again (tfcore infer)")
    run = run or Run(ids["dataset"], ids["category"], ids["variant"], int(ids["seed"]))
    if (run.dataset, run.category, run.seed) != (ids["dataset"], ids["category"], int(ids["seed"])):
        raise UserError(f"{source.path}: holds maps of {ids['dataset']}/{ids['category']}, not of {run.id}")
    commit = header.get("commit") or source_commit()["commit"] or ""
    return {
        "method": str(ids["method"]),
        "dataset": run.dataset,
        "category": run.category,
        "variant": run.variant,
        "seed": str(run.seed),
        "run_id": run.id,
        "commit": str(commit),
        "device": str(header.get("device", "")),
    }


def write_rows(path: Path | str, points: Iterable[tuple[str, Metric]], ids: dict[str, str]) -> None:
    """Write a CSV with the columns of docs/architecture.md; numbers keep every digit, an unknown interval is empty."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for point, metric in points:
            numbers = {"value": metric.value, "low": metric.low, "high": metric.high}
            writer.writerow(
                ids | {"point": point, "metric": metric.name} | {k: "" if v is None else v for k, v in numbers.items()}
            )


def write_images(path: Path | str, maps: "MapsFile", scores: "Array") -> None:
    """Write the score (N) of every test image: ``IMAGE_COLUMNS``, in the order of the maps."""
    names = zip(maps.header["files"], maps.header["defects"], maps.labels.tolist(), scores.tolist(), strict=True)
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(IMAGE_COLUMNS)
        writer.writerows([name, label, defect, score] for name, defect, label, score in names)


def write_source(
    path: Path | str, maps: "MapsFile", stage: str, settings: Mapping[str, Any], ids: Mapping[str, str]
) -> None:
    """Write what the scores in ``path`` were made from beside them, ``scores.json``: settings, and sha256 of the maps.

    It has the keys of a ``run.json`` (`tfcore.runs.record`), of which `tfcore.runs.results` compares these.
    """
    made_from = {
        "run_id": ids["run_id"],
        "stage": stage,
        "settings": settings,
        "settings_digest": digest(settings),
        "inputs": {"maps_sha256": sha256_of(maps.path)},
    }
    write_json(Path(path).with_suffix(".json"), made_from)
