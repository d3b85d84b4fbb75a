"""What the tests ask of the trainings on the cluster, and do to them."""

import contextlib
import re
import signal
from pathlib import Path

import psutil

from slurm import jobs, wait_for

ONE_DATASET = {"datasets": ["demo_mvtec"], "variants": ["full"]}  # two categories: cloth and nut


def trainings():
    """Return all training jobs that the cluster knows, oldest first."""
    return [job for job in jobs() if job["comment"].startswith("rule_train_model")]


def run_of(job):
    """Return the run that a job trains, as in the names of its files: dataset/category/variant/seed."""
    dataset, category, seed = re.search(r"wildcards_(demo_mvtec)_(\w+)_full_(\d)", job["comment"]).groups()
    return f"{dataset}/{category}/full/seed{seed}"


def has_state(benchmark, job):
    return any((benchmark.folder / "work" / run_of(job)).glob("state-*.pt"))


def log_of(benchmark, job):
    file = benchmark.folder / f"logs/train_model/{run_of(job)}.log"
    return file.read_text(errors="replace") if file.exists() else ""


def training_of(job):
    """Return the process that trains in a job."""
    for process in psutil.process_iter(["cmdline", "environ", "status"]):
        line = process.info["cmdline"] or []
        if line[1:4] == ["-m", "tfcore", "train"] and process.info["environ"].get("SLURM_JOB_ID") == job["id"]:
            return process
    raise AssertionError(f"no training in {job}")


def held_with_saved_states(benchmark, count):
    """Return that many training jobs, each held as soon as it has saved a state: so none ends before its fault.

    A held process costs no time of the processor, so that the test need not train for long.
    """
    held = {}

    def all_held():
        for job in trainings():
            if job["state"] == "RUNNING" and job["id"] not in held and has_state(benchmark, job):
                training_of(job).suspend()
                held[job["id"]] = job
        return len(held) == count

    wait_for(all_held, 900, f"{count} trainings with saved states")
    return list(held.values())


def resume_when_terminated(held, seconds, what):
    """Let a held process go on when SIGTERM has come: SLURM kills it some seconds later."""
    wait_for(lambda: signal.SIGTERM in pending(held) or not held.is_running(), seconds, what)
    with contextlib.suppress(psutil.NoSuchProcess):
        held.resume()


def pending(process):
    """Return the signals that wait for a held process to go on."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:  # it has ended
        return set()
    mask = int(re.search(r"ShdPnd:\s*(\w+)", status).group(1), 16)
    return {number for number in range(1, 65) if mask & (1 << (number - 1))}


def stopped(job):
    """Return whether the job has ended or went back to the queue."""
    now = next(other for other in jobs() if other["id"] == job["id"])
    return now["state"] not in ("RUNNING", "COMPLETING") or now["restarts"] > job["restarts"]


def next_attempt(job):
    """Return the job that Snakemake submitted for the same training after this one, if there is one."""
    later = (other for other in trainings() if int(other["id"]) > int(job["id"]))
    return next((other for other in later if other["comment"] == job["comment"]), None)
