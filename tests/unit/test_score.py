"""Scoring a run's maps and anybody's own maps."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from maps_file import header_of, made_up_maps
from safetensors.numpy import save_file
from typer.testing import CliRunner

from tfcore.cli import app
from tfcore.cli import score as _commands  # noqa: F401 (registers the commands)
from tfcore.methods.score import score_run
from tfcore.methods.transfusion.maps import final_maps
from tfcore.metrics.aupro import aupro
from tfcore.metrics.auroc import image_auroc
from tfcore.metrics.rows import COLUMNS, IMAGE_COLUMNS
from tfcore.metrics.score import Bootstrap, maximum, score_maps
from tfcore.runs.run import Run
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import digest, sha256_of

SCORE = {
    "lambda": 0.9,
    "kernel": 3,
    "mask_rule": "nearest",
    "fpr_limit": 0.3,
    "resamples": 50,
    "confidence": 0.95,
}
SETTINGS = {"version": 1, "score": SCORE}


def scored(path, tmp_path, settings=SETTINGS, **options):
    score_run(path, settings, tmp_path / "scores.csv", **options)
    return pd.read_csv(tmp_path / "scores.csv")


def test_rows_hold_exact_values_intervals_and_ids(tmp_path):
    arrays = made_up_maps(tmp_path / "maps.safetensors", category="bolt", seed=5, run_seed=7)
    table = scored(tmp_path / "maps.safetensors", tmp_path)
    assert tuple(table.columns) == COLUMNS
    values = table.set_index("metric")
    assert list(values.index) == ["image_auroc", "image_ap", "f1_max", "aupro", "pixel_auroc", "pixel_ap"]
    final = final_maps(arrays["disc"], arrays["recon"], 0.9, 3)
    assert values.loc["aupro", "value"] == pytest.approx(aupro(final, arrays["mask_nearest"]), abs=1e-12)
    assert values.loc["image_auroc", "value"] == image_auroc(maximum(final), arrays["label"])
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()
    assert (table["high"] - table["low"]).between(0, 0.5).all()
    ids = table.iloc[0]
    assert (ids["run_id"], ids["commit"], ids["device"]) == ("demo/bolt/full/seed7", "c0ffee", "made up")
    assert set(table["point"]) == {"main"}


def test_what_scores_were_made_from_is_beside_them(tmp_path):
    made_up_maps(tmp_path / "maps.safetensors", category="bolt", run_seed=7)
    scored(tmp_path / "maps.safetensors", tmp_path)
    source = json.loads((tmp_path / "scores.json").read_text())
    assert source == {
        "run_id": "demo/bolt/full/seed7",
        "stage": "score",
        "settings": SETTINGS,
        "settings_digest": digest(SETTINGS),
        "inputs": {"maps_sha256": sha256_of(tmp_path / "maps.safetensors")},
    }


def test_the_score_of_every_image_is_beside_the_metrics(tmp_path):
    arrays = made_up_maps(tmp_path / "maps.safetensors", count=9)
    table = scored(tmp_path / "maps.safetensors", tmp_path).set_index("metric")
    images = pd.read_csv(tmp_path / "images.csv")
    assert tuple(images.columns) == IMAGE_COLUMNS
    assert images["label"].tolist() == arrays["label"].tolist()
    assert images["file"].tolist()[:4] == [f"test/{each}/{i:03}.png" for i, each in enumerate(images["defect"][:4])]
    assert set(images["defect"]) == {"good", "crack"}
    final = final_maps(arrays["disc"], arrays["recon"], 0.9, 3)
    assert images["score"].to_numpy().astype(np.float32).tolist() == maximum(final).tolist()
    assert image_auroc(images["score"].to_numpy(), arrays["label"]) == table.loc["image_auroc", "value"]


def test_same_numbers_twice(tmp_path):
    made_up_maps(tmp_path / "maps.safetensors")
    first = scored(tmp_path / "maps.safetensors", tmp_path)
    assert scored(tmp_path / "maps.safetensors", tmp_path).equals(first)


def test_settings_of_the_score_take_effect(tmp_path):
    path = tmp_path / "maps.safetensors"
    made_up_maps(path)
    main = scored(path, tmp_path).set_index("metric")["value"]
    for change in ({"mask_rule": "antialiased"}, {"kernel": 7}, {"lambda": 0.1}, {"fpr_limit": 0.1}):
        changed = scored(path, tmp_path, {"score": SCORE | change}).set_index("metric")["value"]
        assert changed["aupro"] != main["aupro"], change
    without = scored(path, tmp_path, {"score": SCORE | {"resamples": 0}})
    assert without["low"].isna().all()
    assert without.set_index("metric")["value"].equals(main)


def test_rows_carry_the_variant_and_point_asked_for(tmp_path):
    made_up_maps(tmp_path / "maps.safetensors")
    table = scored(tmp_path / "maps.safetensors", tmp_path, run=Run("demo", "cap", "wide", 0), point="epoch=500")
    assert set(table["variant"]) == {"wide"}
    assert set(table["point"]) == {"epoch=500"}
    assert set(table["run_id"]) == {"demo/cap/wide/seed0"}
    with pytest.raises(UserError, match="holds maps of demo/cap"):
        scored(tmp_path / "maps.safetensors", tmp_path, run=Run("demo", "bolt"))


def test_bad_maps_leave_no_file_and_name_theirs(tmp_path):
    path = tmp_path / "maps.safetensors"
    arrays = made_up_maps(path)
    arrays["disc"][3, 2, 1] = np.nan
    run = {"method": "transfusion", "dataset": "d", "category": "c", "variant": "v", "seed": 0}
    save_file(arrays, path, metadata=header_of(arrays["label"], run))
    with pytest.raises(UserError, match=r"maps\.safetensors: map 3 has a value that is NaN"):
        score_run(path, SETTINGS, tmp_path / "scores.csv")
    assert not (tmp_path / "scores.csv").exists() and not (tmp_path / "images.csv").exists()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("run", "its header does not say which run it is; make the maps again"),
        ("files", "its header lacks 'files'; make the maps again"),
        ("defects", "its header lacks 'defects'; make the maps again"),
    ],
)
def test_maps_that_do_not_say_whose_they_are_are_refused(tmp_path, key, message):
    path = tmp_path / "maps.safetensors"
    arrays = made_up_maps(path, count=9)
    header = header_of(arrays["label"], {"method": "transfusion", "dataset": "d", "category": "c", "variant": "v"})
    save_file(arrays, path, metadata={name: text for name, text in header.items() if name != key})
    with pytest.raises(UserError, match=rf"maps\.safetensors: {message}"):
        score_run(path, SETTINGS, tmp_path / "scores.csv")


def test_maps_of_a_method_that_nobody_registered_are_scored(tmp_path):
    path = tmp_path / "maps.safetensors"
    arrays = made_up_maps(path)
    run = {"method": "theirs", "dataset": "demo", "category": "cap", "variant": "full", "seed": 0}
    theirs = {name: array for name, array in arrays.items() if name.startswith("mask_") or name == "label"}
    save_file(theirs | {"map": arrays["disc"]}, path, metadata=header_of(arrays["label"], run))
    table = scored(path, tmp_path)
    assert set(table["method"]) == {"theirs"}
    expected = aupro(arrays["disc"], arrays["mask_nearest"])
    assert table.set_index("metric").loc["aupro", "value"] == pytest.approx(expected, abs=1e-12)
    own = np.linspace(0, 1, 30, dtype=np.float32)
    save_file(theirs | {"map": arrays["disc"], "score": own}, path, metadata=header_of(arrays["label"], run))
    scored(path, tmp_path)
    assert pd.read_csv(tmp_path / "images.csv")["score"].tolist() == pytest.approx(own.tolist())
    save_file(theirs, path, metadata=header_of(arrays["label"], run))
    with pytest.raises(UserError, match=r"maps\.safetensors: no array 'map' in it"):
        scored(path, tmp_path)


def test_contradicting_labels_are_refused():
    masks = np.zeros((4, 5, 5), dtype=bool)
    masks[2:, 1, 1] = True
    maps = np.random.default_rng(0).random((4, 5, 5))
    with pytest.raises(UserError, match="image 3 is labelled normal"):
        score_maps(maps, masks, np.array([0, 0, 1, 0]))
    hidden = score_maps(maps, masks, np.array([0, 1, 1, 1]), bootstrap=Bootstrap(0))  # a defect outside the crop
    assert len(hidden) == 6


def test_own_maps_from_the_command_line(tmp_path):
    arrays = made_up_maps(tmp_path / "maps.safetensors")
    np.save(tmp_path / "maps.npy", arrays["disc"])
    np.save(tmp_path / "masks.npy", arrays["mask_nearest"] * 255)
    np.save(tmp_path / "labels.npy", arrays["label"])
    files = ["--maps", f"{tmp_path}/maps.npy", "--masks", f"{tmp_path}/masks.npy", "--labels", f"{tmp_path}/labels.npy"]
    result = CliRunner().invoke(app, ["score", *files, "--resamples", "50"])
    report = json.loads(result.stdout)
    expected = aupro(arrays["disc"], arrays["mask_nearest"])
    assert report["metrics"]["aupro"]["value"] == pytest.approx(expected, abs=1e-12)
    assert report["images"] == 30
    assert report["anomalous_images"] == 20
    assert "test labels" in report["f1_max_threshold"]["note"]


@pytest.mark.parametrize("content", [b"", b"not an array"])
def test_own_maps_that_are_no_array(tmp_path, content):
    (tmp_path / "maps.npy").write_bytes(content)
    np.save(tmp_path / "masks.npy", np.zeros((2, 2, 2)))
    result = CliRunner().invoke(app, ["score", "--maps", f"{tmp_path}/maps.npy", "--masks", f"{tmp_path}/masks.npy"])
    assert isinstance(result.exception, UserError)
    assert "maps.npy: cannot be read" in str(result.exception)


def test_run_is_scored_and_gathered_from_the_command_line(tmp_path):
    made_up_maps(tmp_path / "maps.safetensors", count=9)
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("datasets: {demo: {title: Demo, layout: visa, categories: [cap], local: demo}}\n")
    params = ["--params", str(Path(__file__).parents[2] / "params.yaml"), "--params", str(overlay)]
    options = ["--dataset", "demo", "--category", "cap", "--maps", f"{tmp_path}/maps.safetensors"]
    result = CliRunner().invoke(app, ["score-run", *options, "--epoch", "5", "--out", f"{tmp_path}/a.csv", *params])
    assert result.exit_code == 0, result.exception
    (tmp_path / "list.txt").write_text(f"{tmp_path}/a.csv\n")
    outputs = ["--out", f"{tmp_path}/metrics.csv", "--out-json", f"{tmp_path}/metrics.json"]
    result = CliRunner().invoke(app, ["gather", "--files-from", f"{tmp_path}/list.txt", *outputs, *params])
    assert result.exit_code == 0, result.exception
    table = pd.read_csv(tmp_path / "metrics.csv")
    assert set(table["point"]) == {"epoch=5"}
    assert len(table) == 6
    assert json.loads((tmp_path / "metrics.json").read_text()) == {}
