"""A training in processes that are killed: what no signal handler can soften."""

import os
import random
import signal
import time
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

from tiny_training import CPU, RUN, make_packed, settings_of


def child(packed, textures, out, work, saving):
    """Train in a process of its own, saving after every step if ``saving``."""
    from tfcore.methods.train import train

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
    context.set_forkserver_preload(["tfcore.methods.transfusion.train"])
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
