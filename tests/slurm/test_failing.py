"""A training that fails while another goes on, Ctrl-C, and the same command again."""

import json
import os
import re
import signal

import pytest
from trainings import (
    ONE_DATASET,
    held_with_saved_states,
    log_of,
    next_attempt,
    resume_when_terminated,
    training_of,
    trainings,
)

from slurm import command, running, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm"), pytest.mark.timeout(2400)]


def test_others_go_on_after_a_failure_and_the_same_command_after_ctrl_c(cluster, benchmark):
    benchmark.configure(train={"epochs": 20}, run=ONE_DATASET)
    images = benchmark.folder / "data/packed/demo_mvtec/nut/images.npy"
    whole = images.read_bytes()
    images.write_bytes(whole[:1000])
    earlier = trainings()
    first = benchmark.snakemake("checkpoints", "--retries", "1")
    (cloth,) = held_with_saved_states(benchmark, 1)
    wait_for(lambda: len(failures(earlier)) == 2, 600, "two failures")

    # The other one is still tried again, now that nothing more is done for the first.
    held = training_of(cloth)
    command("scancel", cloth["id"])
    resume_when_terminated(held, 120, "SIGTERM from scancel")
    cloth = wait_for(lambda: next_attempt(cloth), 300, "the next attempt")
    wait_for(lambda: "resumed after" in log_of(benchmark, cloth), 600, "the next attempt that goes on")
    held = training_of(cloth)
    held.suspend()
    status = benchmark.tfcore("status")
    assert re.search(r"^failed: 1\n  train_model demo_mvtec/nut/full/seed0, .*:\n    error: .*images.npy", status, re.M)
    assert "training now: 1" in status

    os.killpg(first.pid, signal.SIGINT)  # what Ctrl-C in a terminal does
    resume_when_terminated(held, 120, "SIGTERM from Snakemake")
    assert first.wait(timeout=300) != 0
    wait_for(lambda: running() == [], 120, "the end of all jobs")
    saved = re.search(r"stopped by SIGTERM after step (\d+) of \d+, state saved", log_of(benchmark, cloth))
    assert saved, log_of(benchmark, cloth)

    assert f"error: {images.relative_to(benchmark.folder)}: missing or damaged" in first.log.read_text()
    assert len(failures(earlier)) == 2

    images.write_bytes(whole)
    second = benchmark.snakemake("checkpoints")
    assert second.wait(timeout=900) == 0, second.log.read_text()[-5000:]
    assert resumed_after(benchmark, "cloth") == int(saved.group(1))
    assert resumed_after(benchmark, "nut") == 0


def failures(earlier):
    """Return the training jobs that have failed, but for earlier ones."""
    return [job for job in trainings() if job["state"] == "FAILED" and job not in earlier]


def resumed_after(benchmark, category):
    """Return the step after which a category's finished training was resumed."""
    record = benchmark.folder / f"results/checkpoints/demo_mvtec/{category}/full/seed0/run.json"
    return json.loads(record.read_text())["resumed_after_step"]
