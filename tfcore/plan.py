"""What is to do before the money is spent: jobs, GPU-hours, disk and the longest chain, from files that are there."""

import csv
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Literal

from tfcore.config import ModelSettings, Settings, TrainingSettings
from tfcore.cost import read_jobs
from tfcore.current import is_current
from tfcore.report.needs import Needed, needed_by
from tfcore.runs import Run, packed_folder, shared_variant, stage_settings
from tfcore.speeds import (
    Measured,
    Speed,
    choose_speed,
    infer_operations,
    measured_speeds,
    network_name,
    pass_operations,
    train_operations,
)

ScoringStage = Literal["score", "sweep"]
Stage = Literal["train", "infer"] | ScoringStage
SCORING_RULES: dict[ScoringStage, str] = {"score": "score_maps", "sweep": "sweep_maps"}
CHAIN = ["fetch", "check", "pack", "train", "infer", "score", "gather", "table", "report"]
MAP_BYTES = 17  # per pixel: three float32 maps, two masks, an RGB reconstruction (docs/architecture.md)
STATE_COPIES = 2 * 3  # two states are kept; each has the weights and the optimiser's two moments


@dataclass(frozen=True)
class Task:
    """One training, inference or scoring, and whether it is done."""

    stage: Stage
    run: Run
    done: bool
    seconds: float | None = None  # estimated, of the part that is left; None = unknown
    after: Run | None = None  # the training that an inference needs
    epoch: int | None = None  # of weights kept during training, instead of the last


@dataclass(frozen=True)
class Plan:
    """All tasks of the settings, the speeds behind the estimates, what is unknown, and bytes still to be written."""

    tasks: list[Task]
    speeds: dict[str, list[Speed]]
    unknown: list[str]
    disk: dict[str, float]
    state_bytes: float  # of one training while it runs, removed at its end
    free: float

    def left(self, stage: Stage) -> list[Task]:
        """Return the tasks of a stage that are to do."""
        return [task for task in self.tasks if task.stage == stage and not task.done]

    def count(self, stage: Stage) -> tuple[int, int]:
        """Return how many tasks of a stage are done and how many there are."""
        tasks = [task for task in self.tasks if task.stage == stage]
        return sum(task.done for task in tasks), len(tasks)

    def seconds(self, stage: Stage) -> float | None:
        """Return the time of what is left of a stage, one job after the other; None when some of it is unknown."""
        return added([task.seconds for task in self.left(stage)])

    def longest(self) -> tuple[Run | None, float | None]:
        """Return the run whose training and inference take longest, and how long: no cluster is faster than that."""
        training = {task.run: task.seconds for task in self.tasks if task.stage == "train"}
        chains = [
            (task.run, added([task.seconds, training[task.after] if task.after else 0.0]))
            for task in self.left("infer")
        ]
        known = [(run, seconds) for run, seconds in chains if seconds is not None]
        return max(known, key=lambda chain: chain[1]) if known else (None, None)


def make_plan(settings: Settings, benchmarks: list[Path] | None = None, targets: list[str] | None = None) -> Plan:
    """Compare what the targets stand on with the files in the working directory, and estimate the rest.

    ``benchmarks`` are CSVs of `python -m tfcore bench`, used besides the runs that are done here. ``targets`` are those
    of the workflow (`tfcore.report.needs.TARGETS`); without them it is everything. Raises `UserError` for others.
    """
    needed = needed_by(settings, targets or ["all_tables"])
    return _Planner(settings, measured_speeds(benchmarks or [])).plan(needed)


def image_counts(settings: Settings, dataset: str, category: str) -> tuple[int, int] | None:
    """Return the numbers of training and test images: of the pack, else the official counts; None when unknown."""
    index = packed_folder(dataset, category) / "index.csv"
    if index.exists():
        with index.open(encoding="utf-8", newline="") as file:
            splits = [row["split"] for row in csv.DictReader(file)]
        return splits.count("train"), splits.count("test")
    counts = settings.datasets[dataset].counts.get(category)
    return None if counts is None else (counts[0], counts[1] + counts[2])


def last_row(run: Run) -> dict[str, str] | None:
    """Return the last row of the log of an unfinished training, None when there is none."""
    try:
        with (run.work / "log.csv").open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get("images_per_second") and row.get("step")]
    except OSError:
        return None
    return rows[-1] if rows else None


def steps_done(run: Run) -> int:
    """Return the step that an unfinished training has logged last, 0 when it has not begun."""
    row = last_row(run)
    return int(row["step"]) if row and row["step"].isdigit() else 0


def steps_of(settings: TrainingSettings, images: int) -> int:
    """Return the number of steps of a training."""
    return settings.train.epochs * -(-images // settings.train.batch_size)


def added(values: list[float | None]) -> float | None:
    """Return the sum, None when a summand is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


class _Planner:
    def __init__(self, settings: Settings, measured: list[Measured]) -> None:
        self.settings, self.measured = settings, measured
        self.stages = {
            variant: TrainingSettings.model_validate(stage_settings(settings, "train", variant))
            for variant in settings.variants
        }
        self.speeds: dict[tuple[str, str], Speed | None] = {}
        self.unknown: set[str] = set()
        done = read_jobs(rules=tuple(SCORING_RULES.values()))
        self.scored: dict[ScoringStage, float | None] = {
            stage: median(seconds) if (seconds := [job.seconds for job in done if job.rule == rule]) else None
            for stage, rule in SCORING_RULES.items()
        }

    def plan(self, needed: Needed) -> Plan:
        maps_of = [*needed.inferred, *needed.scored, *needed.swept]
        trains = self.shared("train", [*needed.trained, *maps_of])
        if not any(speed.stage == "train" for speed in self.measured):
            self.measured += self.in_progress(trains)
        infers = self.shared("infer", maps_of)
        tasks = [self.training(run) for run in trains]
        trained = {task.run: task.done for task in tasks}
        tasks += [self.inference(run, trained) for run in infers]
        inferred = {task.run: task.done for task in tasks if task.stage == "infer"}
        tasks += [self.scoring("score", run, inferred[self.inferred_as(run)], run.scores) for run in needed.scored]
        tasks += [self.scoring("sweep", run, inferred[self.inferred_as(run)], run.sweep) for run in needed.swept]
        tasks += self.kept_epochs(needed, trained)
        used: dict[str, list[Speed]] = {}
        for (stage, _), speed in self.speeds.items():
            if speed is not None and speed not in used.setdefault(stage, []):
                used[stage].append(speed)
        states = [
            STATE_COPIES * weights_bytes(self.stages[task.run.variant].model)
            for task in tasks
            if task.stage == "train" and not task.done
        ]
        free = shutil.disk_usage(".").free
        return Plan(tasks, used, sorted(self.unknown), self.disk(tasks), max(states, default=0.0), free)

    def shared(self, stage: Literal["train", "infer"], runs: list[Run]) -> list[Run]:
        as_run = self.trained_as if stage == "train" else self.inferred_as
        return list(dict.fromkeys(as_run(run) for run in runs))

    def trained_as(self, run: Run) -> Run:
        return Run(run.dataset, run.category, shared_variant(self.settings, "train", run.variant), run.seed)

    def inferred_as(self, run: Run) -> Run:
        return Run(run.dataset, run.category, shared_variant(self.settings, "infer", run.variant), run.seed)

    def training(self, run: Run) -> Task:
        done = is_current(run, "train", stage_settings(self.settings, "train", run.variant))
        return Task("train", run, done, 0.0 if done else self.estimate("train", run))

    def inference(self, run: Run, trained: dict[Run, bool], epoch: int | None = None) -> Task:
        after = self.trained_as(run)
        settings = stage_settings(self.settings, "infer", run.variant)
        done = trained[after] and is_current(run, "infer", settings, maps=run.maps_at(epoch))
        return Task("infer", run, done, 0.0 if done else self.estimate("infer", run), after, epoch)

    def scoring(self, stage: ScoringStage, run: Run, ready: bool, file: Path, epoch: int | None = None) -> Task:
        done = ready and file.exists()
        return Task(stage, run, done, 0.0 if done else self.scoring_seconds(stage), epoch=epoch)

    def kept_epochs(self, needed: Needed, trained: dict[Run, bool]) -> list[Task]:
        """Return the inferences and scorings of weights kept during the baseline's training (Tables 8 and 9)."""
        tasks = []
        baseline = self.settings.tables.baseline
        for epoch in self.stages[baseline].train.keep_epochs:
            for run in needed.kept_maps | needed.kept:
                inference = self.inference(run, trained, epoch)
                tasks.append(inference)
                if run in needed.kept:
                    tasks.append(self.scoring("score", run, inference.done, run.scores_at(epoch), epoch))
        return tasks

    def scoring_seconds(self, stage: ScoringStage) -> float | None:
        """Return the median time of the scorings that are done here, None when there is none."""
        seconds = self.scored[stage]
        if seconds is None:
            self.unknown.add(f"time of a {stage}: none was done here yet")
        return seconds

    def estimate(self, stage: Literal["train", "infer"], run: Run) -> float | None:
        counts = image_counts(self.settings, run.dataset, run.category)
        if counts is None:
            self.unknown.add(f"{run.dataset}/{run.category}: number of images (not packed, no counts in the settings)")
            return None
        settings = self.stages[run.variant]
        speed = self.speed(stage, settings)
        if speed is None:
            self.unknown.add(f"speed of {stage}: nothing was measured yet")
            return None
        if stage == "infer":
            return infer_operations(settings, counts[1]) / speed.operations_per_second
        left = 1 - steps_done(run) / max(1, steps_of(settings, counts[0]))
        return max(0.0, left) * train_operations(settings, counts[0]) / speed.operations_per_second

    def in_progress(self, runs: list[Run]) -> list[Measured]:
        """Return the speeds of trainings that have begun, for the time when none is finished yet."""
        found = []
        for run in runs:
            row, settings = last_row(run), self.stages[run.variant]
            if row is not None:
                passes = 3 * float(row["images_per_second"]) * pass_operations(settings.model, settings.crop)
                name = network_name(settings.model, settings.crop)
                found.append(Measured("train", "the device they run on", passes, name, "trainings that have begun"))
        return found

    def speed(self, stage: Literal["train", "infer"], settings: TrainingSettings) -> Speed | None:
        key = (stage, network_name(settings.model, settings.crop))
        if key not in self.speeds:
            self.speeds[key] = choose_speed(self.measured, stage, settings)
        return self.speeds[key]

    def disk(self, tasks: list[Task]) -> dict[str, float]:
        """Return the bytes that are still to be written, by kind; tasks whose number of images is unknown count 0."""
        needed = {"checkpoints": 0.0, "maps": 0.0, "packed images": 0.0}
        for task in tasks:
            if task.done or task.stage not in ("train", "infer"):
                continue
            settings = self.stages[task.run.variant]
            if task.stage == "train":
                needed["checkpoints"] += weights_bytes(settings.model) * (1 + len(settings.train.keep_epochs))
            else:
                counts = image_counts(self.settings, task.run.dataset, task.run.category) or (0, 0)
                needed["maps"] += MAP_BYTES * settings.crop**2 * counts[1]
        places = dict.fromkeys((task.run.dataset, task.run.category) for task in tasks)
        for dataset in dict.fromkeys(dataset for dataset, _ in places):
            for category in (category for name, category in places if name == dataset):
                if not (packed_folder(dataset, category) / "pack.json").exists():
                    train, test = image_counts(self.settings, dataset, category) or (0, 0)
                    needed["packed images"] += self.settings.data.resize**2 * (4 * train + 5 * test)
            raw = Path("data/raw") / f"{dataset}.json"
            size = self.settings.datasets[dataset].archive.bytes
            if size and not raw.exists() and self.settings.datasets[dataset].local is None:
                needed[f"{dataset}: archive and its files"] = 2.0 * size
        return {name: size for name, size in needed.items() if size}


def weights_bytes(model: ModelSettings) -> float:
    """Return the size of a checkpoint in bytes, without making the network."""
    return _weights_bytes(model.model_dump_json())


@cache
def _weights_bytes(model: str) -> float:
    import torch

    from tfcore.model.unet import UNet, count_parameters

    with torch.device("meta"):
        return 4.0 * count_parameters(UNet(ModelSettings.model_validate_json(model)))
