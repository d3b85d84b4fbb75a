import os
import signal
import sys

import pytest
import yaml
from tiny_training import make_packed, params

import tfcore.cli
from tfcore.methods.transfusion.train import Training
from tfcore.runtime.files import read_json


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with settings and packed data."""
    monkeypatch.chdir(tmp_path)
    make_packed(tmp_path)
    variants = {"full": {}, "same": {"train.epochs": 5}, "slow": {"infer.precision": "float32"}}
    text = yaml.safe_dump(params(train={"epochs": 5}, tables={"checkpoint_epochs": [1]}, variants=variants))
    (tmp_path / "params.yaml").write_text(text)
    return tmp_path


def command(monkeypatch, *words):
    """Run the command line as a user does; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["tfcore", *words])
    with pytest.raises(SystemExit) as done:
        tfcore.cli.main()
    return done.value.code or 0


RUN = ("--dataset", "toy", "--category", "disc")


def test_a_run_is_trained_and_inferred_by_its_names(folder, monkeypatch):
    assert command(monkeypatch, "train", *RUN, "--variant", "same", "--seed", "2") == 0
    trained = folder / "results/checkpoints/toy/disc/full/seed2"  # `same` is `full` under another name
    assert sorted(path.name for path in trained.iterdir()) == [
        "epoch1.safetensors",
        "log.csv",
        "model.safetensors",
        "run.json",
    ]
    assert command(monkeypatch, "infer", *RUN, "--variant", "slow", "--seed", "2") == 0
    assert read_json(folder / "results/maps/toy/disc/slow/seed2/run.json")["variant"] == "slow"
    assert command(monkeypatch, "infer", *RUN, "--seed", "2", "--epoch", "1") == 0
    assert (folder / "results/maps/toy/disc/full/seed2/epoch1/maps.safetensors").exists()


def test_an_interrupted_training_exits_with_75_and_continues(folder, monkeypatch, capsys):
    original = Training.step
    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", lambda *a: (os.kill(os.getpid(), signal.SIGUSR1), original(*a))[1])
        assert command(patch, "train", *RUN) == 75
    assert "error: training stopped by SIGUSR1 after step 1 of 15, state saved in work/toy" in capsys.readouterr().err
    assert command(monkeypatch, "train", *RUN) == 0
    assert "resumed after step 1 of 15" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "--dataset", "toys", "--category", "disc"), "error: no such dataset 'toys' (known: toy)\n"),
        (("train", "--dataset", "toy", "--category", "cup"), "error: no such category 'cup' in toy"),
        (("infer", *RUN), "error: results/checkpoints/toy/disc/full/seed0/model.safetensors: no such checkpoint"),
    ],
)
def test_mistakes_are_one_line(folder, monkeypatch, capsys, words, message):
    assert command(monkeypatch, *words) == 1
    error = capsys.readouterr().err
    assert error.startswith(message) and error.count("\n") == 1
