"""Rows of scores: one metric of one run at one point each, with the ids of the run."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfcore.runs.record import source_commit
from tfcore.runs.run import METHOD, Run
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import replacing, sha256_of, write_json
from tfcore.settings.sections import digest

if TYPE_CHECKING:  # tables are made of rows, and need none of what reads maps
    from tfcore.metrics.maps import MapsFile

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
    if not isinstance(ids, dict) or any(key not in ids for key in ("dataset", "category", "variant", "seed")):
        raise UserError(f"{source.path}: its header does not say which run it is; make the maps again (tfcore infer)")
    run = run or Run(ids["dataset"], ids["category"], ids["variant"], int(ids["seed"]))
    if (run.dataset, run.category, run.seed) != (ids["dataset"], ids["category"], int(ids["seed"])):
        raise UserError(f"{source.path}: holds maps of {ids['dataset']}/{ids['category']}, not of {run.id}")
    commit = header.get("commit") or source_commit()["commit"] or ""
    return {
        "method": str(ids.get("method", METHOD)),
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
