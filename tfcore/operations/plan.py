"""What is to do before the money is spent: jobs, GPU-hours, disk and the longest chain, from files that are there."""

import csv
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tfcore.methods.base import Method
from tfcore.methods.registry import METHODS
from tfcore.operations.cost import read_jobs
from tfcore.operations.speed import CostlyStage, MeasuredSpeed, Speed, choose_speed, measured_speeds
from tfcore.runs.needed import needed_by
from tfcore.runs.results import Results
from tfcore.runs.run import TEXTURES_FOLDER, Run
from tfcore.runs.stages import RULES, Result, RunStage, stage_settings
from tfcore.settings.sections import DatasetSettings, DataSettings, TextureSettings
from tfcore.settings.variants import Settings

STAGES: tuple[RunStage, ...] = ("train", "infer", "score", "sweep")
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
TEXTURES = 5640  # images of the Describable Textures Dataset
STATE_COPIES = 2 * 3  # two states are kept; each has the weights and the optimiser's two moments


@dataclass(frozen=True)
class Task:
    """One result of the plan: whether it is done, and the estimated seconds of what is left (None = unknown)."""

    result: Result
    done: bool
    seconds: float | None
    after: Result | None  # what it is made from


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

    def left(self, stage: RunStage) -> list[Task]:
        """Return the tasks of a stage that are to do."""
        return [task for task in self.tasks if task.result.stage == stage and not task.done]

    def count(self, stage: RunStage) -> tuple[int, int]:
        """Return how many tasks of a stage are done and how many there are."""
        tasks = [task for task in self.tasks if task.result.stage == stage]
        return sum(task.done for task in tasks), len(tasks)

    def seconds(self, stage: RunStage) -> float | None:
        """Return the time of what is left of a stage, one job after the other; None when some of it is unknown."""
        return added(task.seconds for task in self.left(stage))

    def longest(self) -> tuple[Run | None, float | None]:
        """Return the run whose training and inference take longest, and how long: no cluster is faster than that."""
        by_result = {task.result: task.seconds for task in self.tasks}
        chains = [
            (task.result.run, added([task.seconds, by_result[task.after] if task.after else 0.0]))
            for task in [*self.left("train"), *self.left("infer")]
        ]
        known = [(run, seconds) for run, seconds in chains if seconds is not None]
        return max(known, key=lambda chain: chain[1]) if known else (None, None)


def make_plan(settings: Settings, benchmarks: list[Path] | None = None, targets: list[str] | None = None) -> Plan:
    """Compare what the targets are made from with the files in the working directory, and estimate the rest.

    ``benchmarks`` are CSVs of `python -m tfcore bench`, used besides the runs that are done here. ``targets`` are those
    of the workflow (`tfcore.runs.needed.TARGETS`); without them it is everything. Raises `UserError` for others.
    """
    targets = targets or ["all_tables"]
    planner = _Planner(settings, measured_speeds(benchmarks or []))
    tasks = planner.tasks(needed_by(settings, targets))
    ends = max((ENDS.get(target, ["table"]) for target in targets), key=len)
    states = [STATE_COPIES * planner.weights(task) for task in tasks if task.result.stage == "train" and not task.done]
    return Plan(
        tasks,
        planner.chain(tasks, ends),
        planner.used_speeds(),
        sorted(planner.unknown),
        planner.disk(tasks),
        max(states, default=0.0),
        shutil.disk_usage(".").free,
    )


def added(values: Iterable[float | None]) -> float | None:
    """Return the sum, None when a summand is unknown."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def image_counts(settings: Settings, dataset: str, category: str) -> tuple[int, int] | None:
    """Return the numbers of training and test images: of the pack, else the official counts; None when unknown."""
    index = Run(dataset, category).packed / "index.csv"
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


class _Planner:
    def __init__(self, settings: Settings, measured: list[MeasuredSpeed]) -> None:
        self.settings, self.measured, self.results = settings, measured, Results(settings)
        self.stages = {variant: stage_settings(settings, "train", variant) for variant in settings.variants}
        self.speeds: dict[tuple[CostlyStage, str], Speed | None] = {}
        self.unknown: set[str] = set()
        done = read_jobs(rules=(RULES["score"], RULES["sweep"]))
        self.scoring = {
            stage: median(seconds) if (seconds := [job.seconds for job in done if job.rule == RULES[stage]]) else None
            for stage in ("score", "sweep")
        }

    def tasks(self, needed: list[Result]) -> list[Task]:
        """Return what the needed results are made from, and they themselves, stage by stage."""
        sources = self.results.with_sources(needed)
        results = sorted(sources, key=lambda result: STAGES.index(result.stage))
        if not any(speed.stage == "train" for speed in self.measured):
            self.measured += self.in_progress(result for result in results if result.stage == "train")
        # What nobody asks for and nothing to do is made from is not made: anomaly maps of a clone that has the scores.
        wanted = set(needed)
        for result in reversed(results):
            if result in wanted and not self.results.is_made(result) and (source := sources[result]):
                wanted.add(source)
        done = {result: self.results.is_made(result) or result not in wanted for result in results}
        return [Task(each, done[each], 0.0 if done[each] else self.seconds(each), sources[each]) for each in results]

    def method(self, result: Result) -> Method:
        return METHODS[self.stages[result.run.variant]["method"]]

    def seconds(self, result: Result) -> float | None:
        """Estimate the seconds of a task that is to do, None when something that it takes is unknown."""
        stage, run = result.stage, result.run
        if stage == "score" or stage == "sweep":
            if self.scoring[stage] is None:
                self.unknown.add(f"time of a {stage}: none was done here yet")
            return self.scoring[stage]
        counts = image_counts(self.settings, run.dataset, run.category)
        if counts is None:
            self.unknown.add(f"{run.dataset}/{run.category}: number of images (not packed, no counts in the settings)")
            return None
        settings = self.stages[run.variant]
        cost = self.method(result).operations(settings)
        if cost is None:
            self.unknown.add(f"operations of {self.method(result).title}: not known")
            return None
        speed = self.speed(stage, self.method(result).network(settings))
        if speed is None:
            self.unknown.add(f"speed of {stage}: nothing was measured yet")
            return None
        if stage == "infer":
            return cost.inference * counts[1] / speed.operations_per_second
        row = last_row(run)
        images_done = int(row["epoch"]) * counts[0] if row and row["epoch"].isdigit() else 0
        return cost.step * max(0, cost.epochs * counts[0] - images_done) / speed.operations_per_second

    def in_progress(self, trainings: Iterable[Result]) -> list[MeasuredSpeed]:
        """Return the speeds of trainings that have begun, for the time when none is finished yet."""
        found = []
        for result in trainings:
            row, settings, method = last_row(result.run), self.stages[result.run.variant], self.method(result)
            if row is not None and (cost := method.operations(settings)):
                speed = cost.step * float(row["images_per_second"])
                where = ("the device they run on", speed, method.network(settings), "trainings that have begun")
                found.append(MeasuredSpeed("train", *where))
        return found

    def speed(self, stage: CostlyStage, network: str) -> Speed | None:
        if (stage, network) not in self.speeds:
            self.speeds[stage, network] = choose_speed(self.measured, stage, network)
        return self.speeds[stage, network]

    def used_speeds(self) -> dict[str, list[Speed]]:
        used = dict.fromkeys((stage, speed) for (stage, _), speed in self.speeds.items() if speed)
        return {stage: [speed for at, speed in used if at == stage] for stage, _ in used}

    def chain(self, tasks: list[Task], ends: list[str]) -> list[str]:
        """Return the steps that wait for one another, up to the end of the targets; none when no task is left."""
        left = {"score" if task.result.stage == "sweep" else task.result.stage for task in tasks if not task.done}
        if not left:
            return []
        data = ["fetch", "check", "pack"] if any(not is_packed(*place) for place in self.places(tasks)) else []
        return [*data, *(stage for stage in STAGES if stage in left), *ends]

    def places(self, tasks: list[Task]) -> list[tuple[str, str]]:
        """Return the categories whose images are read by what is left to do."""
        reading = [task.result.run for task in tasks if not task.done and task.result.stage in ("train", "infer")]
        return list(dict.fromkeys((run.dataset, run.category) for run in reading))

    def weights(self, task: Task) -> float:
        return self.method(task.result).weights_bytes(self.stages[task.result.run.variant])

    def disk(self, tasks: list[Task]) -> dict[str, float]:
        """Return the bytes that are still to be written, by kind; tasks whose number of images is unknown count 0."""
        needed = {"checkpoints": 0.0, "anomaly maps": 0.0, "packed images": 0.0}
        left = [task for task in tasks if not task.done]
        for task in left:
            settings, run = self.stages[task.result.run.variant], task.result.run
            if task.result.stage == "train":
                needed["checkpoints"] += self.weights(task) * (1 + len(settings["checkpoint_epochs"]))
            elif task.result.stage == "infer":
                data = DataSettings.model_validate(settings["data"])
                _, images = image_counts(self.settings, run.dataset, run.category) or (0, 0)
                needed["anomaly maps"] += self.method(task.result).map_bytes * (data.crop or data.resize) ** 2 * images
        missing = [place for place in self.places(tasks) if not is_packed(*place)]
        for dataset, category in missing:
            train, test = image_counts(self.settings, dataset, category) or (0, 0)
            needed["packed images"] += self.settings.data.resize**2 * (4 * train + 5 * test)
        for name in dict.fromkeys(dataset for dataset, _ in missing):
            needed[f"{name}: archive and its files"] = fetched_bytes(name, self.settings.datasets[name])
        textures, trains = self.settings.textures, [task for task in left if task.result.stage == "train"]
        pasted = any(self.method(task.result).needs_textures for task in trains)
        if pasted and not (TEXTURES_FOLDER / "pack.json").exists():
            needed["packed images"] += 3 * textures.size**2 * min(textures.limit or TEXTURES, TEXTURES)
            needed["textures: archive and its files"] = fetched_bytes("textures", textures)
        return {name: size for name, size in needed.items() if size}


def is_packed(dataset: str, category: str) -> bool:
    """Return whether the images of a category are packed."""
    return (Run(dataset, category).packed / "pack.json").exists()


def fetched_bytes(name: str, section: DatasetSettings | TextureSettings) -> float:
    """Return what fetching will write: a download and as much again for its files; a local folder is only linked."""
    if (Path("data/raw") / f"{name}.json").exists():
        return 0.0
    if section.local is None:
        return 2.0 * (section.archive.bytes or 0)
    local = Path(section.local).expanduser()
    return float(local.stat().st_size) if local.is_file() else 0.0
