"""Which runs, settings and commits a table is made from."""

from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate

from tfcore.metrics.gather import AVERAGE, gathered_for, read_metrics
from tfcore.report.measured import Measured
from tfcore.report.table import markdown
from tfcore.report.tables.overview import make_table
from tfcore.runs.needed import score_files
from tfcore.runs.record import read_record
from tfcore.runs.run import Run, record_of
from tfcore.runs.stages import shared_run
from tfcore.runtime.errors import UserError
from tfcore.settings.variants import Settings


def explain(file: Path, settings: Settings, metrics: Path | None = None, timing: Path | None = None) -> str:
    """Say from which runs, settings and commits a table was made, and whether it is still what the metrics give.

    ``file`` is a table as Markdown. The table is made again, from ``metrics`` or else from the scores of all runs that
    are there, so what is named is what was used. Raises `UserError` for a file that is not one of the tables.
    """
    if not file.exists():
        raise UserError(f"{file}: no such table; `python -m tfcore tables` makes it")
    rows = gathered_for(settings, score_files(settings)) if metrics is None else read_metrics(metrics)
    measured = Measured(rows, settings)
    table = make_table(file.stem, measured, timing)
    given = "the scores in results" if metrics is None else str(metrics)
    same = file.read_text(encoding="utf-8").strip() == markdown(table).strip()
    state = f"is what {given} give" if same else f"differs from what {given} give now; make it again"
    runs, others = _used(measured)
    records = {run: read_record(record_of(run.checkpoint)) for run in runs}
    lines = [[run.id, *_row(record)] for run, record in records.items()]
    lines += [[f"{method}: {name}", "another method: no record here", "", "", "", ""] for method, name in others]
    columns = ["run", "commit", "settings", "version", "device", "finished"]
    settings_used = {record.get("settings_digest"): record.get("settings") for record in records.values() if record}
    made_from = f"It is made from {len(lines)} runs:" if lines else "Nothing of it has been measured."
    if file.stem == "table5" and timing is not None and timing.exists():
        made_from = f"It is made from the times in {timing}."
    blocks = [f"{file} {state}.", made_from]
    blocks += [tabulate(lines, columns)] if lines else []
    blocks += [f"settings {key}:\n{yaml.safe_dump(values, sort_keys=False)}" for key, values in settings_used.items()]
    return "\n\n".join(blocks)


def _used(measured: Measured) -> tuple[list[Run], list[tuple[str, str]]]:
    """Return the benchmark's runs under the names that they were trained as, and the runs of other methods."""
    runs, others = set(), set()
    for method, dataset, category, variant, seed in measured.used:
        known = variant in measured.settings.variants  # else it was measured with other settings
        run = Run(dataset, category, variant, int(seed))
        if category == AVERAGE:
            continue
        if method in measured.settings.known_methods:
            runs.add(shared_run(measured.settings, "train", run) if known else run)
        else:
            others.add((method, run.id))
    return sorted(runs, key=lambda run: run.id), sorted(others)


def _row(record: dict[str, Any] | None) -> list[str]:
    if record is None:
        return ["no run.json here, or a damaged one", "", "", "", ""]
    git = record.get("git") or {}
    commit = f"{(git.get('commit') or 'unknown')[:10]}{' (changed)' if git.get('clean') is False else ''}"
    return [commit, *(str(record.get(key, "")) for key in ("settings_digest", "version", "device", "end"))]
