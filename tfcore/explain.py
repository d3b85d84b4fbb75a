"""Which runs, settings and commits a table stands on."""

import re
from pathlib import Path
from typing import Any

import yaml
from tabulate import tabulate

from tfcore.config import Settings
from tfcore.errors import UserError
from tfcore.files import read_json
from tfcore.report.categories import dataset_table
from tfcore.report.measured import AVERAGE, Measured, read_metrics
from tfcore.report.table import Table, markdown
from tfcore.report.tables import table_of
from tfcore.runs import METHOD, Run, shared_variant


def explain(file: Path, settings: Settings, metrics: Path, timing: Path | None = None) -> str:
    """Say from which runs, settings and commits a table was made, and whether it is still what the metrics give.

    ``file`` is a table as Markdown. The table is made again from ``metrics``, so what is named is what was used.
    Raises `UserError` for a file that is not one of the tables.
    """
    if not file.exists():
        raise UserError(f"{file}: no such table; `python -m tfcore tables` makes it")
    measured = Measured(read_metrics(metrics), settings)
    table = _made_again(file, measured, timing)
    used = [names for names in measured.used if names[0] == METHOD and AVERAGE not in names]
    runs = sorted({_run(settings, *names) for names in used}, key=lambda run: run.id)
    same = file.read_text(encoding="utf-8").strip() == markdown(table).strip()
    state = f"is what {metrics} gives" if same else f"differs from what {metrics} gives now; make it anew"
    records = {run: _record(run) for run in runs}
    rows = [[run.id, *_row(record)] for run, record in records.items()]
    columns = ["run", "commit", "settings", "recipe", "device", "finished"]
    settings_used = {record["settings_digest"]: record["settings"] for record in records.values() if record}
    stands_on = f"It stands on {len(rows)} runs:" if rows else "Nothing of it has been measured."
    if file.stem == "table5" and timing is not None and timing.exists():
        stands_on = f"It stands on the times in {timing}."
    blocks = [f"{file} {state}.", stands_on]
    blocks += [tabulate(rows, columns)] if rows else []
    blocks += [f"settings {key}:\n{yaml.safe_dump(values, sort_keys=False)}" for key, values in settings_used.items()]
    return "\n\n".join(blocks)


def _made_again(file: Path, measured: Measured, timing: Path | None) -> Table:
    if match := re.fullmatch(r"table([1-9])", file.stem):
        return table_of(int(match[1]), measured, timing)
    name = file.stem.removeprefix("table_")
    if name in measured.settings.datasets:
        return dataset_table(name, measured)
    raise UserError(f"{file}: not one of the tables table1.md … table9.md or table_DATASET.md")


def _run(settings: Settings, method: str, dataset: str, category: str, variant: str, seed: str) -> Run:
    return Run(dataset, category, shared_variant(settings, "train", variant), int(seed))


def _record(run: Run) -> dict[str, Any] | None:
    path = run.checkpoint.with_name("run.json")
    record: dict[str, Any] | None = read_json(path) if path.exists() else None
    return record


def _row(record: dict[str, Any] | None) -> list[str]:
    if record is None:
        return ["no run.json here", "", "", "", ""]
    git = record["git"]
    commit = f"{(git['commit'] or 'unknown')[:10]}{'' if git['clean'] else ' (changed)'}"
    return [commit, record["settings_digest"], str(record["recipe"]), record["device"], record["end"]]
