"""Where the results of a folder come from and what they cost: a summary of every run's ``run.json``."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tfcore.runs.record import read_record
from tfcore.runs.run import existing, record_of


@dataclass(frozen=True)
class StageCost:
    """Time that one stage took on one kind of device, in seconds."""

    stage: str
    device: str
    runs: int
    total: float
    typical: float


@dataclass
class Origin:
    """Commits, versions and devices behind the results, the span of time in which they were made, and their cost."""

    commits: dict[str, int] = field(default_factory=dict)  # commit: runs made with it
    changed: int = 0  # runs whose code differed from the commit
    versions: dict[str, list[str]] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    first: str = ""
    last: str = ""
    costs: list[StageCost] = field(default_factory=list)
    records: int = 0


def summarise(root: Path) -> Origin:
    """Read the records of all trainings and inferences below ``root``; those that cannot be read are left out."""
    stages = (lambda run: record_of(run.checkpoint), lambda run: record_of(run.maps))
    records = [record for of in stages for _, file in existing(of, root) if (record := read_record(file))]
    origin = Origin(records=len(records))
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    versions: dict[str, set[str]] = defaultdict(set)
    for record in records:
        git = record.get("git") or {}
        commit = git.get("commit") or "unknown"
        origin.commits[commit] = origin.commits.get(commit, 0) + 1
        origin.changed += git.get("clean") is False
        for name, number in (record.get("versions") or {}).items():
            versions[name].add(str(number))
        if isinstance(record.get("seconds"), int | float):
            seconds[str(record.get("stage", "")), str(record.get("device", ""))].append(float(record["seconds"]))
    origin.versions = {name: sorted(numbers) for name, numbers in sorted(versions.items())}
    origin.devices = sorted({device for _, device in seconds if device})
    origin.first = min((str(record["start"]) for record in records if record.get("start")), default="")
    origin.last = max((str(record["end"]) for record in records if record.get("end")), default="")
    origin.costs = [
        StageCost(stage, device, len(values), sum(values), median(values))
        for (stage, device), values in sorted(seconds.items(), key=lambda item: -sum(item[1]))
    ]
    return origin


def duration(seconds: float) -> str:
    """Return a time as a person would say it: 48 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
