"""Where the results of a folder come from and what they cost: a summary of every run's ``run.json``."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from tfcore.runs.record import read_record
from tfcore.runs.run import existing, record_of


@dataclass(frozen=True)
class Origin:
    """Commits, versions and devices behind the results, the span of time in which they were made, and their cost."""

    records: int
    commits: dict[str, int]  # commit: runs made with it
    changed: int  # runs whose code differed from the commit
    versions: dict[str, list[str]]
    devices: list[str]
    first: str
    last: str
    seconds: dict[tuple[str, str], list[float]]  # of every run by stage and device, the most expensive first


def summarise(root: Path) -> Origin:
    """Read the records of all trainings and inferences below ``root``; those that cannot be read are left out."""
    stages = (lambda run: record_of(run.checkpoint), lambda run: record_of(run.maps))
    records = [record for of in stages for _, file in existing(of, root) if (record := read_record(file))]
    gits = [record.get("git") or {} for record in records]
    versions: dict[str, set[str]] = defaultdict(set)
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for record in records:
        for name, number in (record.get("versions") or {}).items():
            versions[name].add(str(number))
        if isinstance(record.get("seconds"), int | float):
            seconds[str(record.get("stage", "")), str(record.get("device", ""))].append(float(record["seconds"]))
    return Origin(
        records=len(records),
        commits=Counter(git.get("commit") or "unknown" for git in gits),
        changed=sum(git.get("clean") is False for git in gits),
        versions={name: sorted(numbers) for name, numbers in sorted(versions.items())},
        devices=sorted({device for _, device in seconds if device}),
        first=min((str(record["start"]) for record in records if record.get("start")), default=""),
        last=max((str(record["end"]) for record in records if record.get("end")), default=""),
        seconds=dict(sorted(seconds.items(), key=lambda item: -sum(item[1]))),
    )


def duration(seconds: float) -> str:
    """Return a time as a person would say it: 48 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
