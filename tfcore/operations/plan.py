"""What is to do before the money is spent: jobs, GPU-hours, disk and the longest chain, from files that are there."""

import csv
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Literal

from tfcore.operations.cost import read_jobs
from tfcore.operations.speed import (
    Measured,
    Speed,
    choose_speed,
    infer_operations,
    measured_speeds,
    network_name,
    pass_operations,
    train_operations,
)
from tfcore.runs.needed import Needed, needed_by
from tfcore.runs.results import Results
from tfcore.runs.run import TEXTURES_FOLDER, Run, packed_folder, shared_run, stage_settings
from tfcore.settings.sections import DatasetSettings, ModelSettings, Settings, TextureSettings, TrainingSettings

ScoringStage = Literal["score", "sweep"]
Stage = Literal["train", "infer"] | ScoringStage
SCORING_RULES: dict[ScoringStage, str] = {"score": "score_maps", "sweep": "sweep_maps"}
STEPS: dict[str, set[str]] = {"train": {"train"}, "infer": {"infer"}, "score": {"score", "sweep"}}
# What a target makes of the scores; a table of the paper reads them directly.
ENDS = {
    "checkpoints": [],
    "maps": [],
    "metrics": ["gather"],
    "figures": ["gather", "figure"],
    "ablations": ["gather", "figure"],
    "report": ["gather", "report"],
    "all_tables": ["gather", "report"],
}
MAP_BYTES = 17  # per pixel: three float32 maps, two masks, an RGB reconstruction (docs/architecture.md)
TEXTURES = 5640  # images of the Describable Textures Dataset
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
    chain: list[str]  # the steps still to do that wait for one another
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
        chains = [(task.run, task.seconds) for task in self.left("train")]
        chains += [
            (task.run, added([task.seconds, training[task.after] if task.after else 0.0]))
            for task in self.left("infer")
        ]
        known = [(run, seconds) for run, seconds in chains if seconds is not None]
        return max(known, key=lambda chain: chain[1]) if known else (None, None)


def make_plan(settings: Settings, benchmarks: list[Path] | None = None, targets: list[str] | None = None) -> Plan:
    """Compare what the targets stand on with the files in the working directory, and estimate the rest.

    ``benchmarks`` are CSVs of `python -m tfcore bench`, used besides the runs that are done here. ``targets`` are those
    of the workflow (`tfcore.runs.needed.TARGETS`); without them it is everything. Raises `UserError` for others.
    """
    targets = targets or ["all_tables"]
    needed = needed_by(settings, targets)
    ends = max((ENDS.get(target, ["table"]) for target in targets), key=len)
    return _Planner(settings, measured_speeds(benchmarks or [])).plan(needed, ends)


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
        self.settings, self.measured, self.results = settings, measured, Results(settings)
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

    def plan(self, needed: Needed, ends: list[str]) -> Plan:
        maps_of = [*needed.inferred, *needed.scored, *needed.swept]
        trains = list(dict.fromkeys(self.shared("train", run) for run in [*needed.trained, *maps_of]))
        if not any(speed.stage == "train" for speed in self.measured):
            self.measured += self.in_progress(trains)
        infers = list(dict.fromkeys(self.shared("infer", run) for run in maps_of))
        tasks = [self.training(run) for run in trains]
        trained = {task.run: task.done for task in tasks}
        tasks += [self.inference(run, trained) for run in infers]
        inferred = {task.run: task.done for task in tasks if task.stage == "infer"}
        tasks += [self.scoring("score", run, inferred[self.shared("infer", run)]) for run in needed.scored]
        tasks += [self.scoring("sweep", run, inferred[self.shared("infer", run)]) for run in needed.swept]
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
        chain, disk = self.chain(tasks, ends), self.disk(tasks)
        free = shutil.disk_usage(".").free
        return Plan(tasks, chain, used, sorted(self.unknown), disk, max(states, default=0.0), free)

    def shared(self, stage: Literal["train", "infer"], run: Run) -> Run:
        return shared_run(self.settings, stage, run)

    def training(self, run: Run) -> Task:
        done = self.results.trained(run)
        return Task("train", run, done, 0.0 if done else self.estimate("train", run))

    def inference(self, run: Run, trained: dict[Run, bool], epoch: int | None = None) -> Task:
        after = self.shared("train", run)
        done = trained[after] and self.results.inferred(run, epoch)
        return Task("infer", run, done, 0.0 if done else self.estimate("infer", run), after, epoch)

    def scoring(self, stage: ScoringStage, run: Run, ready: bool, epoch: int | None = None) -> Task:
        done = ready and (self.results.scored(run, epoch) if stage == "score" else self.results.swept(run))
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
                    tasks.append(self.scoring("score", run, inference.done, epoch))
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

    def chain(self, tasks: list[Task], ends: list[str]) -> list[str]:
        """Return the steps that wait for one another, up to the end of the targets; none when no task is left."""
        left = {task.stage for task in tasks if not task.done}
        if not left:
            return []
        data = ["fetch", "check", "pack"] if any(not is_packed(*place) for place in self.places(tasks)) else []
        steps = [step for step, stages in STEPS.items() if left & stages]
        return [*data, *steps, *ends]

    def places(self, tasks: list[Task]) -> list[tuple[str, str]]:
        """Return the categories whose images are read by what is left to do."""
        reading = [task.run for task in tasks if not task.done and task.stage in ("train", "infer")]
        return list(dict.fromkeys((run.dataset, run.category) for run in reading))

    def disk(self, tasks: list[Task]) -> dict[str, float]:
        """Return the bytes that are still to be written, by kind; tasks whose number of images is unknown count 0."""
        needed = {"checkpoints": 0.0, "maps": 0.0, "packed images": 0.0}
        left = [task for task in tasks if not task.done]
        for task in left:
            settings = self.stages[task.run.variant]
            if task.stage == "train":
                needed["checkpoints"] += weights_bytes(settings.model) * (1 + len(settings.train.keep_epochs))
            elif task.stage == "infer":
                counts = image_counts(self.settings, task.run.dataset, task.run.category) or (0, 0)
                needed["maps"] += MAP_BYTES * settings.crop**2 * counts[1]
        missing = [place for place in self.places(tasks) if not is_packed(*place)]
        for dataset, category in missing:
            train, test = image_counts(self.settings, dataset, category) or (0, 0)
            needed["packed images"] += self.settings.data.resize**2 * (4 * train + 5 * test)
        fetched = {dataset: self.settings.datasets[dataset] for dataset, _ in missing}
        for name, section in fetched.items():
            needed[f"{name}: archive and its files"] = fetched_bytes(name, section)
        textures = self.settings.textures
        if any(task.stage == "train" for task in left) and not (TEXTURES_FOLDER / "pack.json").exists():
            needed["packed images"] += 3 * textures.size**2 * min(textures.limit or TEXTURES, TEXTURES)
            needed["textures: archive and its files"] = fetched_bytes("textures", textures)
        return {name: size for name, size in needed.items() if size}


def is_packed(dataset: str, category: str) -> bool:
    """Return whether the images of a category are packed."""
    return (packed_folder(dataset, category) / "pack.json").exists()


def fetched_bytes(name: str, section: DatasetSettings | TextureSettings) -> float:
    """Return what fetching will write: a download and as much again for its files; a local folder is only linked."""
    if (Path("data/raw") / f"{name}.json").exists():
        return 0.0
    if section.local is None:
        return 2.0 * (section.archive.bytes or 0)
    local = Path(section.local).expanduser()
    return float(local.stat().st_size) if local.is_file() else 0.0


def weights_bytes(model: ModelSettings) -> float:
    """Return the size of a checkpoint in bytes, without making the network."""
    return _weights_bytes(model.model_dump_json())


@cache
def _weights_bytes(model: str) -> float:
    import torch

    from tfcore.methods.transfusion.unet import UNet, count_parameters

    with torch.device("meta"):
        return 4.0 * count_parameters(UNet(ModelSettings.model_validate_json(model)))
