"""Sweeps: every point equals scoring with that setting."""

import pandas as pd
import pytest
from maps_file import made_up_maps
from test_score import SCORE

from tfcore.methods.score import score_run, sweep_run
from tfcore.runtime.files import read_json, sha256_of

SWEEPS = {"lambda": [0.0, 0.5, 1.0], "kernel": [1, 5], "mask": ["disc", "recon", "last"]}


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "maps.safetensors"
    made_up_maps(path)
    return path


@pytest.fixture(scope="module")
def swept(maps):
    sweep_run(maps, {"score": SCORE, "sweeps": SWEEPS}, maps.parent / "sweep.csv")
    return pd.read_csv(maps.parent / "sweep.csv").set_index(["point", "metric"])


def test_every_point_has_its_rows(swept):
    points = ["lambda=0", "lambda=0.5", "lambda=1", "kernel=1", "kernel=5", "mask=disc", "mask=recon", "mask=last"]
    assert list(swept.index) == [(point, metric) for point in points for metric in ("image_auroc", "aupro")]
    assert (swept["low"] <= swept["high"]).all()


def test_what_the_sweep_was_made_from_is_beside_it(swept, maps):
    source = read_json(maps.parent / "sweep.json")
    assert source["settings"] == {"score": SCORE, "sweeps": SWEEPS}
    assert source["inputs"] == {"maps_sha256": sha256_of(maps)}


@pytest.mark.parametrize(("point", "change"), [("lambda=0.5", {"lambda": 0.5}), ("kernel=5", {"kernel": 5})])
def test_point_equals_scoring_with_that_setting(swept, maps, tmp_path, point, change):
    score_run(maps, {"score": SCORE | change}, tmp_path / "scores.csv")
    scores = pd.read_csv(tmp_path / "scores.csv").set_index("metric")
    for metric in ("image_auroc", "aupro"):
        for column in ("value", "low", "high"):
            assert swept.loc[(point, metric), column] == scores.loc[metric, column]


def test_masks_alone(swept):
    for one, other in (("mask=disc", "lambda=1"), ("mask=recon", "lambda=0")):
        assert swept.loc[(one, "aupro"), "value"] == pytest.approx(swept.loc[(other, "aupro"), "value"], abs=1e-9)
    assert swept.loc[("mask=last", "aupro"), "value"] != swept.loc[("mask=disc", "aupro"), "value"]
