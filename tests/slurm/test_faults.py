"""What happens to trainings on a cluster: time limit, scancel, preemption, a lost node, a killed Snakemake.

One benchmark with four trainings on two nodes meets all of them; each must cost no more than the steps since the last
saved state, and the result must be the one of a training that nothing happened to.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from trainings import (
    ONE_DATASET,
    held_with_saved_states,
    log_of,
    next_attempt,
    resume_when_terminated,
    stopped,
    training_of,
)

from slurm import command, is_living, jobs, kill, processes, running, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm"), pytest.mark.timeout(3600)]

REPOSITORY = Path(__file__).resolve().parents[2]
EPOCHS = 20


def test_nothing_is_lost_and_nothing_is_trained_twice(cluster, benchmark):
    benchmark.configure(train={"epochs": EPOCHS}, run=ONE_DATASET | {"seeds": [0, 1]})
    first = benchmark.snakemake("checkpoints")
    trainings = held_with_saved_states(benchmark, 4)
    nodes = sorted({job["node"] for job in trainings})
    assert nodes == ["g1", "g2"]  # two GPUs each
    pair, (limited, lost) = [[job for job in trainings if job["node"] == node] for node in nodes]

    held = training_of(limited)
    command("scontrol", "update", f"JobId={limited['id']}", "TimeLimit=1")
    urgent = ["-p", "urgent", "-w", nodes[0], "--gpus=1", "-t", "5", "--mem=100", "-o", "/dev/null", "--wrap=sleep 2"]
    command("sbatch", *urgent)
    preempted = wait_for(lambda: next(filter(stopped, pair), None), 600, "a preemption")
    cancelled = next(job for job in pair if job != preempted)
    told_to_end = training_of(cancelled)
    command("scancel", cancelled["id"])
    resume_when_terminated(told_to_end, 120, "SIGTERM from scancel")
    resume_when_terminated(held, 600, "the time limit")  # SLURM looks at limits every half minute
    for victim in (cancelled, limited):
        wait_for(lambda job=victim: stopped(job), 600, f"the end of {victim}")
        again = wait_for(lambda job=victim: next_attempt(job), 600, f"the next attempt of {victim}")
        assert (victim["limit"], victim["memory"]) == ("00:30:00", "3000M")
        assert (again["limit"], again["memory"]) == ("01:00:00", "6000M")
    lose_node(cluster, nodes[1])
    wait_for(lambda: stopped(lost), 600, "the lost job back in the queue")
    find_node(nodes[1])

    # As soon as the last of them goes on, Snakemake itself is killed and started anew at once.
    wait_for(lambda: "resumed after" in log_of(benchmark, lost), 900, "the lost training that goes on")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert benchmark.snakemake("--unlock", "checkpoints").wait(timeout=600) == 0
    second = benchmark.snakemake("checkpoints")
    assert second.wait(timeout=1500) == 0, second.log.read_text()[-5000:]

    folders = sorted(benchmark.folder.glob("results/checkpoints/*/*/*/*"))
    assert len(folders) == 4
    for folder in folders:
        assert sorted(file.name for file in folder.iterdir()) == ["log.csv", "model.safetensors", "run.json"]
        record = json.loads((folder / "run.json").read_text())
        assert record["resumed_after_step"] > 0, f"{folder} began anew"
        steps = [int(line.split(",")[0]) for line in (folder / "log.csv").read_text().splitlines()[1:]]
        assert steps == sorted(set(steps))
        assert steps[-1] == record["steps"]
    assert model_of(uninterrupted(benchmark)) == model_of(benchmark.folder)

    wait_for(lambda: running() == [], 600, "the end of all jobs")
    assert [path for path in (benchmark.folder / "work").glob("*/*/*/*") if path.suffix != ".json"] == []
    wait_for(lambda: of_folder(benchmark.folder) == [], 60, "the end of all processes of the benchmark")


def lose_node(cluster, node):
    """Let a node vanish: its daemon and everything of its jobs is killed without notice.

    SLURM is told, as by a health check; it would notice by itself after minutes, and hold a job sent there meanwhile.
    """
    command("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=failing")
    kill([psutil.Process(int((cluster / f"slurmd-{node}.pid").read_text()))])
    while victims := on_node(node):  # again, for what was started meanwhile
        kill(victims)
    command("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")


def find_node(node):
    """Let a lost node come back, and its jobs start again now: SLURM gives them a wait of two minutes."""
    subprocess.run(["/usr/sbin/slurmd", "-N", node], check=True)
    command("scontrol", "update", f"NodeName={node}", "State=RESUME")
    back = {"idle", "mix", "alloc"}
    wait_for(lambda: command("sinfo", "-h", "-n", node, "-o", "%t").split()[0] in back, 100, f"{node} back")
    wait_for(lambda: re.search(r"Agent queue size: +0", command("sdiag")), 100, "the last words to the lost jobs")
    for job in jobs():
        if job["state"] == "PENDING" and job["restarts"]:
            command("scontrol", "update", f"JobId={job['id']}", "StartTime=now")


def on_node(node):
    """Return the living processes of a node's jobs, SLURM's own managers of their steps among them."""
    steps = tuple(f"[{job['id']}." for job in jobs() if job["node"] == node)
    found = []
    for process in psutil.process_iter(["cmdline", "environ", "status"]):
        manager = " ".join(process.info["cmdline"] or []).removeprefix("slurmstepd: ").startswith(steps)
        if (manager or (process.info["environ"] or {}).get("SLURMD_NODENAME") == node) and is_living(process):
            found.append(process)
    return found


def uninterrupted(benchmark):
    """Train one of the runs again, here and in one go, from the same packed images; return its folder."""
    folder = benchmark.folder.parent / "reference"
    folder.mkdir()
    (folder / "data").symlink_to(benchmark.folder / "data")
    words = ["train", "--dataset", "demo_mvtec", "--category", "cloth", "--seed", "0", "--params", benchmark.params()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-m", "tfcore", *words], cwd=folder, env=environment, check=True)
    return folder


def model_of(folder):
    record = folder / "results/checkpoints/demo_mvtec/cloth/full/seed0/run.json"
    return json.loads(record.read_text())["model_sha256"]


def of_folder(folder):
    """Return the command lines of processes that still work for a benchmark folder."""
    found = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in found if str(folder) in " ".join(line)]


def test_cluster_daemons_are_known(cluster):
    names = {Path(process.info["cmdline"][0]).name for process in processes(cluster)}
    assert names >= {"munged", "slurmctld", "slurmd"}  # so that the check at the end, that none is left, can fail
