"""How fast this benchmark has been: operations per second of training and inference, from runs done or a benchmark."""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Literal

from tfcore.runs.record import read_record
from tfcore.runtime.errors import UserError
from tfcore.settings.sections import DiffusionSettings, ModelSettings, TrainingSettings

Stage = Literal["train", "infer"]
BENCHMARK_ROWS = {"training step": "train", "reverse process": "infer"}


@dataclass(frozen=True)
class Measured:
    """One measured speed, in operations per second, of a network and input size."""

    stage: str
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


def train_operations(settings: TrainingSettings, images: int) -> float:
    """Return the operations of a whole training; the backward pass counts as two forward passes."""
    return 3 * pass_operations(settings.model, settings.crop) * images * settings.train.epochs


def infer_operations(settings: TrainingSettings, images: int) -> float:
    """Return the operations of inferring ``images`` images."""
    return pass_operations(settings.model, settings.crop) * images * network_calls(settings.diffusion)


def network_calls(diffusion: DiffusionSettings) -> int:
    """Return how often the network is called per image: T times, or T - 2 times in the released code."""
    return diffusion.steps - 2 if diffusion.beta_grid == "linspace" else diffusion.steps


def pass_operations(model: ModelSettings, size: int) -> float:
    """Return the operations of one forward pass of one image."""
    return _pass_operations(model.model_dump_json(), size)


@cache
def _pass_operations(model: str, size: int) -> float:
    from tfcore.runtime.device import forward_operations

    return forward_operations(ModelSettings.model_validate_json(model), size)


def network_name(model: ModelSettings, size: int) -> str:
    """Name what decides the speed: the network's shape and the size of its input."""
    values = model.model_dump(include={"width", "multipliers", "blocks", "attention_levels"})
    return f"{values} at {size} pixels"


def measured_speeds(benchmarks: list[Path]) -> list[Measured]:
    """Return the speeds of all trainings and inferences under ``results``, and of the benchmarks' CSVs."""
    return [*_from_runs(Path("results")), *(speed for file in benchmarks for speed in _from_benchmark(file))]


def choose_speed(measured: list[Measured], stage: Stage, settings: TrainingSettings) -> Speed | None:
    """Return the median speed of ``stage``, if possible on the same network, on the device that has most runs.

    GPUs count before CPUs: what a laptop did says nothing about a cluster. None when nothing was measured.
    """
    of_stage = [speed for speed in measured if speed.stage == stage]
    name = network_name(settings.model, settings.crop)
    same = [speed for speed in of_stage if speed.network == name]
    candidates = same or of_stage
    if not candidates:
        return None
    devices = Counter(speed.device for speed in candidates)
    device = min(devices, key=lambda name: (name.startswith("CPU"), -devices[name], name))
    chosen = [speed for speed in candidates if speed.device == device]
    source = f"{len(chosen)} run{'s' * (len(chosen) > 1)} done here" if chosen[0].source == "runs" else chosen[0].source
    return Speed(median(speed.operations_per_second for speed in chosen), device, source, bool(same))


def _from_runs(results: Path) -> Iterator[Measured]:
    trained: dict[str, TrainingSettings] = {}
    for file in sorted(results.glob("checkpoints/*/*/*/*/run.json")):
        record = read_record(file)
        try:
            settings = TrainingSettings.model_validate((record or {}).get("settings"))
        except ValueError:
            continue
        model = (record or {}).get("model_sha256")
        if record is None or not isinstance(record.get("images_per_second"), int | float):
            continue
        trained[str(model)] = settings
        yield _measured("train", record, settings, 3 * record["images_per_second"])
    for file in sorted(results.glob("maps/*/*/*/*/run.json")):
        record = read_record(file)
        model = (record or {}).get("inputs", {}).get("checkpoint_sha256")
        if record is None or str(model) not in trained or not record.get("seconds_per_image"):
            continue
        settings = trained[str(model)]
        yield _measured("infer", record, settings, network_calls(settings.diffusion) / record["seconds_per_image"])


def _measured(stage: Stage, record: dict[str, Any], settings: TrainingSettings, passes: float) -> Measured:
    speed = passes * pass_operations(settings.model, settings.crop)
    return Measured(stage, str(record.get("device")), speed, network_name(settings.model, settings.crop), "runs")


def _from_benchmark(file: Path) -> Iterator[Measured]:
    """Read rows of `benchmarks`: training steps, and reverse processes of T steps; `UserError` if there are none.

    Of several batch sizes the fastest counts.
    """
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file}: is not a CSV of `python -m tfcore bench` ({error})") from error
    parts = [(row, (row.get("what") or "").partition(", T = ")) for row in rows]
    speeds = [(row, what, steps) for row, (what, _, steps) in parts if what in BENCHMARK_ROWS]
    if not speeds:
        raise UserError(f"{file}: has no speed of `python -m tfcore bench train` or `bench infer`")
    fastest: dict[str, Measured] = {}
    for row, what, steps in speeds:
        try:
            size, images = int(row["size"]), float(row["fast_images_per_s"])
            model = ModelSettings(width=int(row["width"]), groups=8, positional_encoding="sinusoidal")
            passes = images * (float(steps) if steps else 3)
            device = row["device"]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file}: is not a CSV of `python -m tfcore bench` ({error})") from error
        stage, speed = BENCHMARK_ROWS[what], passes * pass_operations(model, size)
        if stage not in fastest or speed > fastest[stage].operations_per_second:
            fastest[stage] = Measured(stage, device, speed, network_name(model, size), str(file))
    yield from fastest.values()
