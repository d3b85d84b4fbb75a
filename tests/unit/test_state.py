import os
import signal
import time

import pytest
import torch

from tfcore.training.state import StopRequest, load_state, save_state, stop_on_signal

DEVICE = torch.device("cpu")
IDENTITY = {"run": "toy/disc/full/seed0", "version": 1, "settings": "abc", "pack": "def", "textures": "ghi"}


def state(step):
    return {"step": step, "training": {"weights": torch.full((50,), float(step))}, "log": {"rows": [[1.0, 2.0]]}}


def test_a_state_comes_back_and_two_are_kept(tmp_path):
    for step in (3, 20, 100):
        save_state(tmp_path, IDENTITY, state(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state-000000020.pt", "state-000000100.pt"]
    loaded = load_state(tmp_path, IDENTITY, DEVICE)
    assert loaded["step"] == 100 and torch.equal(loaded["training"]["weights"], torch.full((50,), 100.0))


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:900] + b"\xff" + b[901:]])
def test_a_damaged_state_is_named_and_the_previous_one_is_used(tmp_path, capsys, damage):
    save_state(tmp_path, IDENTITY, state(1))
    newest = save_state(tmp_path, IDENTITY, state(2))
    newest.write_bytes(damage(newest.read_bytes()))
    assert load_state(tmp_path, IDENTITY, DEVICE)["step"] == 1
    assert capsys.readouterr().err == f"{newest}: not resumed: the file is truncated or damaged\n"
    assert [path.name for path in tmp_path.iterdir()] == ["state-000000001.pt"]  # two good ones are kept again


@pytest.mark.parametrize("key", ["run", "version", "settings", "pack", "textures"])
def test_a_state_of_another_training_is_refused(tmp_path, capsys, key):
    path = save_state(tmp_path, IDENTITY, state(1))
    assert load_state(tmp_path, IDENTITY | {key: "other"}, DEVICE) is None
    assert f"{path}: not resumed: it belongs to another {key}" in capsys.readouterr().err


def test_no_state_is_no_message(tmp_path, capsys):
    assert load_state(tmp_path, IDENTITY, DEVICE) is None
    assert capsys.readouterr().err == ""


def test_old_leftovers_of_a_killed_process_are_removed_and_young_ones_stay(tmp_path):
    for name, age in ((".state-1.pt.old.pt", 7200), (".state-1.pt.young.pt", 5)):
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    save_state(tmp_path, IDENTITY, state(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".state-1.pt.young.pt", "state-000000001.pt"]


def test_signals_are_noted_however_often_they_come():
    with stop_on_signal() as stop:
        assert not stop
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert stop and isinstance(stop, StopRequest)
