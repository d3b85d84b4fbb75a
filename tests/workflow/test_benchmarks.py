"""The benchmarks that run a whole training step and a whole reverse process, at a small size."""

import csv
import re
import sys
from pathlib import Path

import pytest

from tfcore.methods.registry import load_settings
from tfcore.training.seeds import step_generator

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks are no part of the package
from benchmarks import speed


@pytest.fixture
def settings():
    """The paper's settings with a network of two resolutions."""
    settings = load_settings(Path(__file__).parents[2] / "params.yaml")
    small = {"blocks": 1, "multipliers": [1, 2], "attention_levels": 1}
    return settings.model_copy(update={"model": settings.model.model_copy(update=small)})


def test_training_is_measured_both_ways(settings, tmp_path, capsys, monkeypatch):
    out = tmp_path / "train.csv"
    drawn = []
    monkeypatch.setattr(speed, "step_generator", lambda *a: (drawn.append(a), step_generator(*a))[1])
    speed.run_train(settings, out, 1, size=16, width=8, batch=2, native=24, precision="auto")
    rows = {row["what"]: row for row in csv.DictReader(out.open())}
    assert set(rows) == {"training step", "batch only", "SSIM and gradient"}
    assert float(rows["training step"]["ratio"]) > 0 and "device" in rows["training step"]
    assert "training step" in capsys.readouterr().out
    assert drawn == [(0, number) for number in range(5)]  # each call of the batch alone is another step


def test_inference_is_measured_both_ways(settings, tmp_path, capsys):
    out = tmp_path / "infer.csv"
    speed.run_infer(settings, out, 1, size=16, width=8, batches=[1, 2], precision="float32", steps=3)
    with out.open() as file:
        rows = [(row["what"], row["batch"]) for row in csv.DictReader(file)]
    assert rows == [(what, batch) for batch in "12" for what in ("forward pass", "reverse process, T = 3")]
    said = capsys.readouterr().out
    assert float(re.search(r"largest difference of one forward pass: (.+)", said)[1]) < 1e-5
    assert re.search(r"seconds per image, T = 3: \S+ at batch 1, \S+ at batch 2; best at batch [12]\n", said)
