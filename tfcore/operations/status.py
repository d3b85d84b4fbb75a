"""What runs, what failed, what is left and for how long, from the files that jobs leave behind."""

import time
from dataclasses import dataclass
from pathlib import Path

from tfcore.operations.cost import BENCHMARKS
from tfcore.operations.plan import Plan, Task, last_row
from tfcore.runs.run import Run
from tfcore.runs.stages import RULES
from tfcore.training.lock import holder

LOGS = Path("logs")
UNRECORDED = ("tables_so_far",)  # rules that leave no benchmark file when they are done
STOPPED = ("error:", "Traceback", "slurmstepd: error", "Killed")
SILENT_SECONDS = 900.0  # a job whose log is younger may still run
INTERRUPTED = "the same command continues it"


@dataclass(frozen=True)
class Running:
    """A training in progress: its last logged step, images per second and when it was logged."""

    run: Run
    step: int
    epoch: int
    images_per_second: float | None
    owner: str


@dataclass(frozen=True)
class Failed:
    """A job that left a log and no result, with the log's last lines; interrupted ones go on with the next attempt."""

    job: str  # its rule and what it is of
    log: Path
    lines: list[str]
    interrupted: bool


@dataclass(frozen=True)
class Status:
    """Where the benchmark stands."""

    plan: Plan
    running: list[Running]
    at_work: list[str]  # jobs other than trainings whose logs are young
    failed: list[Failed]

    @property
    def eta_seconds(self) -> float | None:
        """Return the time left if as many trainings run as now (at least one), None when the speed is unknown."""
        parts = [self.plan.seconds("train"), self.plan.seconds("infer")]
        if None in parts:
            return None
        spread = sum(part for part in parts if part is not None) / max(1, len(self.running))
        return max(spread, self.plan.longest()[1] or 0.0)


def make_status(plan: Plan, lines: int = 5) -> Status:
    """Read locks, training logs and the logs of jobs without a result; ``lines`` of each failed log are kept."""
    running = [where for task in plan.left("train") if (where := _running(task.result.run)) is not None]
    busy = {where.run for where in running}
    idle = [task for task in plan.tasks if not (task.result.stage == "train" and task.result.run in busy)]
    found = [_judged(task, lines) for task in idle]
    found += [_judged_by_record(log, lines) for log in _other_logs()]
    at_work = [job for job in found if isinstance(job, str)]
    return Status(plan, running, at_work, [job for job in found if isinstance(job, Failed)])


def _running(run: Run) -> Running | None:
    owner = holder(run.lock)
    if owner is None:
        return None
    row = last_row(run)
    if row is None:
        return Running(run, 0, 0, None, owner)
    return Running(run, int(row["step"]), int(row["epoch"]), float(row["images_per_second"]), owner)


def _judged(task: Task, lines: int) -> Failed | str | None:
    """Return how a job of the plan failed, its name if it is at work, None if it is done or has not begun."""
    log = LOGS / f"{task.result.job}.log"
    if task.done or not log.exists():
        return None
    # Trainings that run are known by their locks.
    silent_after = 0.0 if task.result.stage == "train" else SILENT_SECONDS
    return _judged_by_log(log, lines, silent_after, task.result.file.exists())


def _other_logs() -> list[Path]:
    """Return the logs of all rules whose jobs the plan does not count."""
    counted = (*RULES.values(), "infer_epoch", "score_epoch", BENCHMARKS.name)
    return [log for log in sorted(LOGS.rglob("*.log")) if not log.relative_to(LOGS).parts[0].startswith(counted)]


def _judged_by_record(log: Path, lines: int) -> Failed | str | None:
    """Judge a job by the benchmark file that Snakemake writes when a job has succeeded."""
    name = log.relative_to(LOGS).with_suffix("")
    record = BENCHMARKS / name.with_name(f"{name.name}.tsv")
    if record.exists() and record.stat().st_mtime >= log.stat().st_mtime:
        return None
    done = record.exists() or name.parts[0] in UNRECORDED
    return _judged_by_log(log, lines, SILENT_SECONDS, done)


def _judged_by_log(log: Path, lines: int, silent_after: float, done: bool) -> Failed | str | None:
    """Judge a job by its log; one that is ``done`` has failed since only if the log has an error."""
    job = str(log.relative_to(LOGS).with_suffix("")).replace("/", " ", 1)
    text = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    stopped = any(line.startswith(STOPPED) for line in text)
    if not stopped and time.time() - log.stat().st_mtime < silent_after:
        return job  # still at work, as far as anybody can tell
    if done and not stopped:
        return None
    interrupted = bool(text) and INTERRUPTED in text[-1]
    return Failed(job, log, text[-lines:] or ["(nothing was logged)"], interrupted)
