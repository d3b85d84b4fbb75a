"""What the results cost: GPU-hours, wall time and peak memory per rule and category, and per table of the paper."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tfcore.runs.needed import needed_by
from tfcore.runs.record import read_record
from tfcore.runs.results import Results
from tfcore.runs.run import TIMING, Run, record_of
from tfcore.runs.stages import RULES
from tfcore.runtime.files import replacing
from tfcore.settings.variants import Settings

BENCHMARKS = Path("logs/benchmarks")


@dataclass(frozen=True)
class Job:
    """One finished job: its rule and what it is of, seconds, seconds on a GPU, peak memory in MB (None = unknown)."""

    rule: str
    of: tuple[str, ...]
    seconds: float
    gpu_seconds: float
    memory: float | None
    resumed: bool = False

    @property
    def category(self) -> str:
        """Return dataset/category, or what the job is of when it has no category."""
        return "/".join(self.of[:2])


@dataclass(frozen=True)
class Cost:
    """Jobs of one kind, added up."""

    rule: str
    category: str
    jobs: int
    hours: float
    gpu_hours: float
    memory: float | None
    resumed: int

    def cells(self, hours: str) -> list[str | int]:
        """Return the cells of a row, hours in a format such as ``.3f``, an unknown memory empty."""
        memory = "" if self.memory is None else f"{self.memory:.0f}"
        numbers = [format(self.hours, hours), format(self.gpu_hours, hours), memory]
        return [self.rule, self.category, self.jobs, *numbers, self.resumed]


def read_jobs(root: Path = Path(), rules: tuple[str, ...] = ("",)) -> list[Job]:
    """Read every benchmark file `<rule>/<what it is of>.tsv` that the workflow left below ``root``, but damaged ones.

    A file only has the attempt that finished. For a training that was resumed, the attempts before are added in
    proportion to their steps (`run.json`: steps, resumed_after_step).
    """
    files = [file for rule in rules for file in sorted((root / BENCHMARKS / rule).rglob("*.tsv"))]
    return [job for file in files if (job := _read_job(file, root)) is not None]


def cost_rows(jobs: Iterable[Job]) -> list[Cost]:
    """Add up the jobs per rule and category, the most expensive rules first."""
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.rule, job.category), []).append(job)
    rows = [total(rule, category, members) for (rule, category), members in groups.items()]
    by_rule: dict[str, float] = {}
    for row in rows:
        by_rule[row.rule] = by_rule.get(row.rule, 0.0) + row.hours
    return sorted(rows, key=lambda row: (-by_rule[row.rule], row.rule, row.category))


def total(rule: str, category: str, jobs: Iterable[Job]) -> Cost:
    """Add up jobs under one name."""
    jobs = list(jobs)
    hours, gpu_hours = sum(job.seconds for job in jobs) / 3600, sum(job.gpu_seconds for job in jobs) / 3600
    memory = max((job.memory for job in jobs if job.memory is not None), default=None)
    return Cost(rule, category, len(jobs), hours, gpu_hours, memory, sum(job.resumed for job in jobs))


def table_costs(jobs: list[Job], settings: Settings) -> list[Cost]:
    """Return what each table of the paper is made from; tables share trainings, so the rows do not add up."""
    rows, sources = [], Results(settings)
    for name, numbers in (("Tables 1, 6 and 8", (1, 6, 8)), ("Tables 2, 7 and 9", (2, 7, 9)), ("Table 3", (3,)),
                          ("Table 4 (ablations)", (4,))):  # fmt: skip
        results = sources.with_sources(needed_by(settings, [f"table{number}" for number in numbers]))
        if results:
            datasets = dict.fromkeys(result.run.dataset for result in results)
            made = {result.job.parts for result in results}
            made |= {(result.run.dataset, result.run.category) for result in results} | {(each,) for each in datasets}
            chosen = [job for job in jobs if (job.rule, *job.of) in made or job.of in made]
            rows.append(total(name, ", ".join(datasets), chosen))
    return [*rows, total("Table 5", "one run", [job for job in jobs if job.rule == "time_inference"])]


def write_costs(rows: list[Cost], path: Path) -> None:
    """Write the rows as CSV."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["rule", "category", "jobs", "hours", "gpu_hours", "peak_memory_mb", "resumed"])
        writer.writerows(row.cells(".6g") for row in rows)


def _read_job(file: Path, root: Path) -> Job | None:
    rule, *of = file.relative_to(root / BENCHMARKS).with_suffix("").parts
    if not of:
        rule, of = file.stem, [""]
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            row = next(csv.DictReader(stream, delimiter="\t"))
        seconds = float(row["s"])
    except (OSError, StopIteration, KeyError, TypeError, ValueError):
        return None
    memory = row.get("max_rss") or ""
    peak = float(memory) if memory.replace(".", "", 1).isdigit() else None
    record = _record(rule, of, root) or {}
    share = _share_of_last_attempt(record)
    # What the stage itself took: a later job that found it done has overwritten the benchmark file.
    recorded = record.get("seconds")
    whole = max(seconds, float(recorded) if isinstance(recorded, int | float) else 0.0) / share
    on_gpu = record and not str(record.get("device", "")).startswith("CPU")
    return Job(rule, tuple(of), whole, whole if on_gpu else 0.0, peak, share < 1)


def _record(rule: str, of: list[str], root: Path) -> dict[str, object] | None:
    """Return the record of a training, an inference (of an epoch) or the timing of Table 5, which names the device."""
    if rule == "time_inference":
        try:
            with (root / TIMING).open(encoding="utf-8", newline="") as file:
                return dict(next(csv.DictReader(file)))
        except (OSError, StopIteration):
            return None
    if len(of) != 4 or not rule.startswith(("train", "infer")):
        return None
    dataset, category, variant, seed = of
    run, epoch = Run(dataset, category, variant, seed.removeprefix("seed")), rule.partition("_epoch")[2]
    return read_record(root / record_of(run.checkpoint if rule == RULES["train"] else run.maps_at(epoch or None)))


def _share_of_last_attempt(record: dict[str, object]) -> float:
    steps, before = record.get("steps"), record.get("resumed_after_step")
    if isinstance(steps, int) and isinstance(before, int) and 0 < before < steps:
        return (steps - before) / steps
    return 1.0
