"""How fast this benchmark has been: operations per second of training and inference, from runs done or a benchmark."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from tfcore.methods.base import Method, Operations
from tfcore.methods.registry import METHODS
from tfcore.runs.record import read_record
from tfcore.runs.run import existing, record_of
from tfcore.runtime.errors import UserError

CostlyStage = Literal["train", "infer"]
BENCHMARK_ROWS: dict[str, CostlyStage] = {"training step": "train", "reverse process": "infer"}


@dataclass(frozen=True)
class MeasuredSpeed:
    """One measured speed, in operations per second, of a network and input size."""

    stage: CostlyStage
    device: str
    operations_per_second: float
    network: str
    source: str


@dataclass(frozen=True)
class Speed:
    """The speed that an estimate uses, where it comes from, and whether it was measured on the same network."""

    operations_per_second: float
    device: str
    source: str
    same_network: bool

    def __str__(self) -> str:
        rough = "" if self.same_network else ", of another network or input size, scaled by operations: rough"
        return f"{self.source} on {self.device}{rough}"


def measured_speeds(benchmarks: list[Path]) -> list[MeasuredSpeed]:
    """Return the speeds of all trainings and inferences under ``results``, and of the benchmarks' CSVs."""
    return [*_from_runs(), *(speed for file in benchmarks for speed in _from_benchmark(file))]


def choose_speed(measured: list[MeasuredSpeed], stage: CostlyStage, network: str) -> Speed | None:
    """Return the median speed of ``stage``, if possible on the same network, on the device that has most runs.

    GPUs count before CPUs: what a laptop did says nothing about a cluster. None when nothing was measured.
    """
    of_stage = [speed for speed in measured if speed.stage == stage]
    same = [speed for speed in of_stage if speed.network == network]
    candidates = same or of_stage
    if not candidates:
        return None
    devices = Counter(speed.device for speed in candidates)
    device = min(devices, key=lambda name: (name.startswith("CPU"), -devices[name], name))
    chosen = [speed for speed in candidates if speed.device == device]
    source = f"{len(chosen)} run{'s' * (len(chosen) > 1)} done here" if chosen[0].source == "runs" else chosen[0].source
    return Speed(median(speed.operations_per_second for speed in chosen), device, source, bool(same))


def _from_runs() -> Iterator[MeasuredSpeed]:
    trained: dict[str, tuple[Operations, str]] = {}
    for _, file in existing(lambda run: record_of(run.checkpoint)):
        record = read_record(file) or {}
        cost = _cost(record.get("settings"))
        if cost is None or not isinstance(record.get("images_per_second"), int | float):
            continue
        trained[str(record.get("model_sha256"))] = cost
        speed = cost[0].step * record["images_per_second"]
        yield MeasuredSpeed("train", str(record.get("device")), speed, cost[1], "runs")
    for _, file in existing(lambda run: record_of(run.maps)):
        record = read_record(file) or {}
        cost = trained.get(str(record.get("inputs", {}).get("checkpoint_sha256")))
        if cost is not None and record.get("seconds_per_image"):
            speed = cost[0].inference / record["seconds_per_image"]
            yield MeasuredSpeed("infer", str(record.get("device")), speed, cost[1], "runs")


def _cost(settings: Any) -> tuple[Operations, str] | None:
    """Return operations and network of recorded settings; None for those of another version."""
    try:
        method: Method = METHODS[settings["method"]]
        cost = method.operations(settings)
        return None if cost is None else (cost, method.network(settings))
    except (KeyError, TypeError, ValueError):
        return None


def _from_benchmark(file: Path) -> Iterator[MeasuredSpeed]:
    """Read rows of `python -m tfcore bench train` and `infer`; `UserError` if there are none.

    Of several batch sizes the fastest counts.
    """
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: is not a CSV of `python -m tfcore bench` ({error})") from error
    fastest: dict[CostlyStage, MeasuredSpeed] = {}
    for row in rows:
        stage = BENCHMARK_ROWS.get((row.get("what") or "").partition(", T = ")[0])
        if stage is None:
            continue
        try:
            speed = float(row["optimised_operations_per_s"])
            found = MeasuredSpeed(stage, row["device"], speed, row["network"], str(file))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file}: is not a CSV of `python -m tfcore bench` ({error})") from error
        if stage not in fastest or speed > fastest[stage].operations_per_second:
            fastest[stage] = found
    if not fastest:
        raise UserError(f"{file}: has no speed of `python -m tfcore bench train` or `bench infer`")
    yield from fastest.values()
