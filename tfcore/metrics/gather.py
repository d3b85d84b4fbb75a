"""Gather the small files of all runs into one long table and one small summary."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tfcore.metrics.intervals import mean_interval, over_seeds
from tfcore.metrics.rows import COLUMNS
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import replacing, write_json
from tfcore.settings.variants import Settings, resolve

AVERAGE = "average"
"""Category, and dataset, of the rows of averages."""

KEY = ["method", "variant", "seed", "point", "metric"]
SUMMARISED = ("image_auroc", "aupro")
TEXTS = ("method", "dataset", "category", "variant", "point", "metric", "run_id", "commit", "device")


def gather(files: Sequence[Path | str], out_csv: Path | str, out_json: Path | str, **options: Any) -> None:
    """Write every row of the score and sweep files, with averages (`gathered`), as one CSV, and a summary as JSON."""
    table = gathered(files, **options)
    with replacing(out_csv) as temporary:
        table.to_csv(temporary, index=False)
    write_json(out_json, summary(table))


def gathered(
    files: Sequence[Path | str],
    categories: Mapping[str, Sequence[str]] | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> pd.DataFrame:
    """Return every row of the files, then their averages; no rows where there is no file.

    ``categories`` lists what each dataset must have: a dataset that lacks one gets no average, for a mean over part of
    the categories compares with nothing. Without it, what is there counts as all. The intervals of averages come from
    ``resamples`` over categories and cover ``confidence``. Raises `UserError` for a file that is
    not a score file and for two rows of the same run, point and metric.
    """
    if not files:
        return pd.DataFrame(columns=list(COLUMNS))
    rows = pd.concat([_read(file) for file in files], ignore_index=True)
    twice = rows[rows.duplicated([*KEY, "dataset", "category"])]
    if len(twice):
        first = twice.iloc[0]
        raise UserError(f"two score files hold {first['run_id']}, {first['point']}, {first['metric']}: remove one")
    expected = categories or {
        str(name): sorted(group["category"].unique()) for name, group in rows.groupby("dataset", sort=False)
    }
    return pd.concat([rows, averages(rows, expected, confidence, resamples)], ignore_index=True)


def gathered_for(settings: Settings, files: Sequence[Path | str]) -> pd.DataFrame:
    """Return what the settings make of the files."""
    return gathered(files, **averaging(settings))


def averaging(settings: Settings) -> dict[str, Any]:
    """Return how the settings average: over which categories, and with the intervals of the baseline's scores."""
    categories = {name: settings.datasets[name].categories for name in settings.run.datasets}
    score = resolve(settings, settings.tables.baseline).score
    return {"categories": categories, "confidence": score.confidence, "resamples": score.resamples}


def read_list(file: Path) -> list[Path]:
    """Read a text file with one path a line; `UserError` if there is none."""
    if not file.is_file():
        raise UserError(f"{file}: no such file")
    return [Path(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def one_line(error: Exception) -> str:
    """Return an error's message without line breaks, which those of pandas have."""
    return " ".join(str(error).split())


def read_metrics(file: Path | str) -> pd.DataFrame:
    """Read ``results/metrics.csv``; `UserError` if it is missing, lacks a column or has values outside [0, 1]."""
    try:
        rows = pd.read_csv(file, dtype={"category": str, "point": str, "seed": str}, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({one_line(error)}); `python -m tfcore gather` makes it") from error
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise UserError(f"{file}: lacks the column {', '.join(missing)}; make it again by `python -m tfcore gather`")
    for name in ("value", "low", "high"):
        numbers = pd.to_numeric(rows[name].replace("", None), errors="coerce")
        bad = ~numbers.between(0, 1) & ((rows[name] != "") | (name == "value"))
        if bad.any():
            line = int(bad.to_numpy().argmax()) + 2
            raise UserError(f"{file}: line {line}: {name} is '{rows[name].iloc[line - 2]}', not a number in [0, 1]")
        rows[name] = numbers
    return rows


def _read(file: Path | str) -> pd.DataFrame:
    empty = {name: [""] for name in ("value", "low", "high")}
    try:
        rows = pd.read_csv(file, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=empty)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as scores: {one_line(error)}") from error
    if list(rows.columns) != list(COLUMNS):
        raise UserError(f"{file}: its columns are not those of scores: {', '.join(COLUMNS)}")
    if rows["value"].isna().any():
        raise UserError(f"{file}: a row has no value")
    if not rows["value"].between(0, 1).all():
        raise UserError(f"{file}: a value is not in [0, 1]")
    return rows


def averages(
    rows: pd.DataFrame, expected: Mapping[str, Sequence[str]], confidence: float, resamples: int
) -> pd.DataFrame:
    """Return rows of means over the categories of each dataset, and over the datasets' means, with intervals."""
    found: list[dict[str, Any]] = []
    for key, group in rows.groupby(KEY, sort=False):
        ids = dict(zip(KEY, key, strict=True)) | {"run_id": "", "category": AVERAGE}
        for column in ("commit", "device"):
            ids[column] = str(group[column].iloc[0]) if group[column].nunique() == 1 else ""
        complete = {}
        for dataset, names in expected.items():
            values = group[group["dataset"] == dataset].set_index("category")["value"]
            if set(names) <= set(values.index):
                complete[dataset] = [float(values[name]) for name in names]
        means = [(dataset, [values]) for dataset, values in complete.items()]
        if len(expected) > 1 and len(complete) == len(expected):
            means.append((AVERAGE, list(complete.values())))
        for dataset, groups in means:
            value = sum(sum(group) / len(group) for group in groups) / len(groups)
            low, high = mean_interval(groups, confidence, resamples)
            found.append(ids | {"dataset": dataset, "value": value, "low": low, "high": high})
    return pd.DataFrame(found, columns=list(COLUMNS))


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """Return the averages of the main point as method → dataset → variant → metric, for `dvc metrics`.

    With several seeds a metric is their mean, and ``{metric}_sd`` and ``seeds`` stand beside it.
    """
    shown = table["metric"].isin(SUMMARISED)
    main = table[(table["point"] == "main") & (table["category"] == AVERAGE) & shown]
    nested: dict[str, Any] = {}
    for (*path, metric), group in main.groupby(["method", "dataset", "variant", "metric"], sort=False):
        seeds = over_seeds(list(group["value"]))
        place = nested
        for name in path:
            place = place.setdefault(str(name), {})
        place[str(metric)] = round(seeds["mean"], 6)
        if seeds["n"] > 1:
            place |= {f"{metric}_sd": round(seeds["sd"], 6), "seeds": seeds["n"]}
    return nested
