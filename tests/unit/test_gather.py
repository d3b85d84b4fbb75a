"""Gathering: every row once, averages only where they are complete, a small summary."""

import json

import pandas as pd
import pytest
from fabricated import DEMO, paper_settings

from tfcore.metrics.gather import averaging, gather
from tfcore.metrics.rows import COLUMNS
from tfcore.runtime.errors import UserError

VALUES = {"bolt": 0.9, "cap": 0.8, "cloth": 1.0}


def score_file(folder, dataset, category, value, seed=0, point="main", variant="full", low=0.7):
    run_id = f"{dataset}/{category}/{variant}/seed{seed}"
    ids = {"method": "transfusion", "dataset": dataset, "category": category, "variant": variant, "seed": seed}
    row = ids | {"point": point, "metric": "aupro", "value": value, "low": low, "high": "", "run_id": run_id}
    path = folder / run_id / f"{point}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame([row | {"commit": "0012", "device": "CPU"}], columns=list(COLUMNS)).to_csv(path, index=False)
    return path


def gathered(files, folder, **options):
    gather(files, folder / "metrics.csv", folder / "metrics.json", **options)
    table = pd.read_csv(folder / "metrics.csv", dtype={"commit": str})
    return table, json.loads((folder / "metrics.json").read_text())


def average(table, dataset, **where):
    rows = table[(table["dataset"] == dataset) & (table["category"] == "average")]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows


def test_rows_and_averages(tmp_path):
    files = [score_file(tmp_path, "a", category, value) for category, value in VALUES.items()]
    files += [score_file(tmp_path, "b", category, value / 2) for category, value in VALUES.items()]
    table, summary = gathered(files, tmp_path)
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 9
    assert average(table, "a")["value"].item() == pytest.approx(0.9)
    assert average(table, "average")["value"].item() == pytest.approx((0.9 + 0.45) / 2)
    row = average(table, "a").iloc[0]
    assert 0.8 <= row["low"] < row["value"] < row["high"] <= 1.0
    assert row["commit"] == "0012"
    assert summary["transfusion"]["a"]["full"] == {"aupro": 0.9}


def test_incomplete_dataset_gets_no_average(tmp_path):
    files = [score_file(tmp_path, "a", category, value) for category, value in VALUES.items()]
    files += [score_file(tmp_path, "b", "bolt", 0.5)]
    table, summary = gathered(files, tmp_path, categories={"a": list(VALUES), "b": ["bolt", "nut"]})
    assert len(average(table, "a")) == 1
    assert average(table, "b").empty
    assert average(table, "average").empty
    assert list(summary["transfusion"]) == ["a"]


def test_seeds_and_points_are_averaged_apart(tmp_path):
    files = [score_file(tmp_path, "a", c, v - seed / 10, seed=seed) for c, v in VALUES.items() for seed in (0, 1)]
    files += [score_file(tmp_path, "a", c, 0.1, point="lambda=0.9") for c in VALUES]
    table, summary = gathered(files, tmp_path)
    assert average(table, "a", seed=1)["value"].item() == pytest.approx(0.8)
    assert average(table, "a", point="lambda=0.9")["value"].item() == pytest.approx(0.1)
    assert summary["transfusion"]["a"]["full"] == {"aupro": 0.85, "aupro_sd": pytest.approx(0.070711), "seeds": 2}


def test_two_categories_have_no_interval(tmp_path):
    table, _ = gathered([score_file(tmp_path, "a", "bolt", 0.9), score_file(tmp_path, "a", "cap", 0.8)], tmp_path)
    assert average(table, "a")[["low", "high"]].isna().all(axis=None)
    assert table["high"].isna().all()


def test_bad_files_are_named(tmp_path):
    good = score_file(tmp_path, "a", "bolt", 0.9)
    other = tmp_path / "other.csv"
    other.write_text("x,y\n1,2\n")
    with pytest.raises(UserError, match=r"other\.csv: its columns"):
        gathered([good, other], tmp_path)
    with pytest.raises(UserError, match="two score files hold a/bolt/full/seed0"):
        gathered([good, good], tmp_path)
    with pytest.raises(UserError, match=r"gone\.csv"):
        gathered([good, tmp_path / "gone.csv"], tmp_path)
    empty = score_file(tmp_path, "a", "cap", "")
    with pytest.raises(UserError, match="a row has no value"):
        gathered([good, empty], tmp_path)
    assert not (tmp_path / "metrics.csv").exists()


def test_nothing_scored_yet_is_an_empty_table(tmp_path):
    table, summary = gathered([], tmp_path)
    assert list(table.columns) == list(COLUMNS) and table.empty and summary == {}


def test_intervals_of_averages_are_those_of_the_baselines_scores(tmp_path):
    own = "sharp: {score.confidence: 0.8, score.resamples: 50}"
    overlay = DEMO.replace("variants: {", f"variants: {{{own}, ").replace("tables: {", "tables: {baseline: sharp, ")
    assert averaging(paper_settings(tmp_path, overlay)) == {
        "categories": {"demo_mvtec": ["cloth", "bolt"], "demo_visa": ["tray", "board"]},
        "confidence": 0.8,
        "resamples": 50,
    }
