import os
import random
import signal
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

import pytest
import torch
from tiny_training import CPU, RUN, make_packed, settings_of

from tfcore.resume import StopRequest, load_state, save_state, stop_on_signal

DEVICE = torch.device("cpu")
IDENTITY = {"run": "toy/disc/full/seed0", "recipe": 1, "settings": "abc", "pack": "def", "textures": "ghi"}


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


@pytest.mark.parametrize("key", ["run", "recipe", "settings", "pack", "textures"])
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


def child(packed, textures, out, work, saving):
    """Train in a process of its own, saving after every step if ``saving``."""
    from tfcore.train import train

    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    hardware = CPU.model_copy(update={"save_minutes": 1e-9 if saving else 10.0})
    train(RUN, settings_of(train={"epochs": 8}), packed, textures, out, work, hardware)


def newest_step(work):
    return max((int(path.stem.split("-")[1]) for path in work.glob("state-*.pt")), default=0)


def kill_after(process: BaseProcess, work, steps: int, delay: float) -> None:
    """SIGKILL a training once it has come that far, at no particular moment of a step."""
    goal = newest_step(work) + steps
    end = time.monotonic() + 60
    while newest_step(work) < goal and process.is_alive() and time.monotonic() < end:
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    process.join()


def test_five_sigkills_and_the_weights_are_those_of_an_uninterrupted_training(tmp_path):
    context = get_context("forkserver")  # imports torch once for all children
    context.set_forkserver_preload(["tfcore.train"])
    packed, textures = make_packed(tmp_path)
    moments = random.Random(5)
    whole, cut, work = tmp_path / "whole", tmp_path / "cut", tmp_path / "work"

    def start(out, folder, saving):
        process = context.Process(target=child, args=(packed, textures, out, folder, saving))
        process.start()
        return process

    uninterrupted = start(whole, tmp_path / "work-whole", False)
    killed = 0
    for _ in range(5):
        process = start(cut, work, True)
        kill_after(process, work, moments.randint(1, 4), moments.uniform(0, 0.05))
        killed += process.exitcode == -signal.SIGKILL
    assert killed == 5 and 0 < newest_step(work) < 24
    last = start(cut, work, True)
    last.join()
    uninterrupted.join()
    assert last.exitcode == 0 and uninterrupted.exitcode == 0
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert not work.exists()
