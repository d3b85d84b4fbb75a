"""Rows of scores: one metric of one run at one point each, with the ids of the run."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfcore.runs.record import source_commit
from tfcore.runs.run import Run
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import digest, sha256_of, write_csv, write_json

if TYPE_CHECKING:  # tables are made of rows, and need none of what reads maps
    from tfcore.metrics.maps import MapsFile
    from tfcore.metrics.pixels import Array

IDS = ("method", "dataset", "category", "variant", "seed")
COLUMNS = (*IDS, "point", "metric", "value", "low", "high", "run_id", "commit", "device")
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
    if not isinstance(ids, dict) or not set(IDS) <= ids.keys():
        raise UserError(f"{source.path}: its header does not say which run it is; make the maps again (tfcore infer)")
    own = Run(ids["dataset"], ids["category"], ids["variant"], int(ids["seed"]))
    run = run or own
    if replace(run, variant=own.variant) != own:
        raise UserError(f"{source.path}: holds maps of {own.dataset}/{own.category}, not of {run.id}")
    columns = {
        "method": ids["method"],
        **asdict(run),
        "run_id": run.id,
        "commit": header.get("commit") or source_commit()["commit"] or "",
        "device": header.get("device", ""),
    }
    return {name: str(value) for name, value in columns.items()}


def write_rows(path: Path | str, points: Iterable[tuple[str, Metric]], ids: dict[str, str]) -> None:
    """Write a CSV with the columns of docs/architecture.md; numbers keep every digit, an unknown interval is empty."""
    rows = (ids | asdict(metric) | {"point": point, "metric": metric.name} for point, metric in points)
    write_csv(path, COLUMNS, ([row[name] for name in COLUMNS] for row in rows))


def write_images(path: Path | str, maps: "MapsFile", scores: "Array") -> None:
    """Write the score (N) of every test image: ``IMAGE_COLUMNS``, in the order of the maps."""
    columns = maps.header["files"], maps.labels.tolist(), maps.header["defects"], scores.tolist()
    write_csv(path, IMAGE_COLUMNS, zip(*columns, strict=True))


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
