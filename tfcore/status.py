"""What runs, what failed, what is left and for how long, from the files that jobs leave behind."""

import time
from dataclasses import dataclass
from pathlib import Path

from tfcore.claim import Claim, is_alive
from tfcore.plan import Plan, Task, last_row
from tfcore.runs import Run

LOGS = Path("logs")
RULES = {"train": "train_model", "infer": "infer_maps", "score": "score_maps", "sweep": "sweep_maps"}
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

    task: Task
    log: Path
    lines: list[str]
    interrupted: bool


@dataclass(frozen=True)
class Status:
    """Where the benchmark stands."""

    plan: Plan
    running: list[Running]
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
    """Read claims, training logs and the logs of jobs without a result; ``lines`` of each failed log are kept."""
    running = [where for task in plan.left("train") if (where := _running(task.run)) is not None]
    busy = {where.run for where in running}
    failed = [
        failure
        for task in plan.tasks
        if not task.done and not (task.stage == "train" and task.run in busy)
        if (failure := _failed(task, lines)) is not None
    ]
    return Status(plan, running, failed)


def claim_file(run: Run) -> Path:
    """Return the file that a running training holds (`tfcore.claim`)."""
    return run.work.with_name(f"{run.work.name}.claim")


def _running(run: Run) -> Running | None:
    if not is_alive(claim_file(run)):
        return None
    owner = Claim(claim_file(run)).owner() or {}
    name = str(owner.get("host", "?")) + (f", job {owner['job']}" if owner.get("job") else "")
    row = last_row(run)
    if row is None:
        return Running(run, 0, 0, None, name)
    return Running(run, int(row["step"]), int(row["epoch"]), float(row["images_per_second"]), name)


def _failed(task: Task, lines: int) -> Failed | None:
    rule = RULES[task.stage] if task.epoch is None else f"{task.stage}_epoch{task.epoch}"
    log = LOGS / rule / f"{task.run.id}.log"
    try:
        text = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        silent = time.time() - log.stat().st_mtime
    except OSError:
        return None
    interrupted = bool(text) and INTERRUPTED in text[-1]
    stopped = any(line.startswith(("error:", "Traceback", "slurmstepd: error", "Killed")) for line in text)
    if not stopped and silent < SILENT_SECONDS and task.stage != "train":
        return None  # still at work, as far as anybody can tell
    return Failed(task, log, text[-lines:] or ["(nothing was logged)"], interrupted)
