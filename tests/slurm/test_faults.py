"""What happens to trainings on a cluster: time limit, scancel, preemption, a lost node, a killed Snakemake.

One benchmark with four trainings on two nodes meets all of them; each must cost no more than the steps since the last
saved state, and the result must be the one of a training that nothing happened to.
"""

import json
import os
import signal
import subprocess
import sys

import psutil
import pytest
from conftest import REPOSITORY, daemons

from slurm import command, jobs, running, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(2400)]

EPOCHS = 60


def test_nothing_is_lost_and_nothing_is_trained_twice(cluster, benchmark):
    benchmark.configure(train={"epochs": EPOCHS}, run={"seeds": [0, 1]})
    first = benchmark.snakemake("checkpoints")
    trainings = wait_for(lambda: four_running(benchmark, cluster), 400, "four trainings with saved states")
    nodes = sorted({job["node"] for job in trainings})
    assert nodes == ["g1", "g2"]  # two GPUs each
    (limited, preempted), (cancelled, lost) = [[job for job in trainings if job["node"] == node] for node in nodes]

    command("scontrol", "update", f"JobId={limited['id']}", "TimeLimit=1")
    command("scancel", cancelled["id"])
    lose_node(cluster, nodes[1], lost)
    command(
        "sbatch",
        "-p",
        "urgent",
        "-w",
        nodes[0],
        "--gpus=2",
        "-t",
        "5",
        "--mem=100",
        "-o",
        "/dev/null",
        "--wrap=sleep 2",
    )
    for victim in (limited, cancelled, preempted, lost):
        wait_for(lambda job=victim: stopped(cluster, job), 200, f"the end of {victim}")
    command("scontrol", "update", f"JobId={lost['id']}", "StartTime=now")  # SLURM waits two minutes after a lost node
    subprocess.run(["/usr/sbin/slurmd", "-N", nodes[1]], check=True)

    # As soon as one training runs again, Snakemake itself is killed and started anew at once.
    wait_for(lambda: any("resumed after" in text for text in logs(benchmark)), 400, "a training that goes on")
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert benchmark.snakemake("--unlock", "checkpoints").wait(timeout=200) == 0
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

    wait_for(lambda: running() == [], 100, "the end of all jobs")
    assert [path for path in (benchmark.folder / "work").glob("*/*/*/*") if path.suffix != ".json"] == []
    assert of_folder(benchmark.folder) == []


def four_running(benchmark, cluster):
    """Return the four jobs once each has saved a state, else None."""
    states = list(benchmark.folder.glob("work/*/*/*/*/state-*.pt"))
    found = [job for job in jobs(cluster) if job["state"] == "RUNNING" and "train_model" in job["comment"]]
    return found if len({path.parent for path in states}) == 4 and len(found) == 4 else None


def lose_node(cluster, node, job):
    """Let a node vanish: its daemon and everything that its job runs are killed without notice."""
    daemon = psutil.Process(int((cluster / f"slurmd-{node}.pid").read_text()))
    daemon.kill()
    for process in psutil.process_iter(["name", "cmdline", "environ"]):
        step = f"[{job['id']}." in " ".join(process.info["cmdline"] or [])
        if step or (process.info["environ"] or {}).get("SLURM_JOB_ID") == job["id"]:
            process.kill()


def stopped(cluster, job):
    """Return whether the job has ended or went back to the queue."""
    now = next(other for other in jobs(cluster) if other["id"] == job["id"])
    return now["state"] not in ("RUNNING", "COMPLETING") or now["restarts"] > job["restarts"]


def logs(benchmark):
    return [file.read_text(errors="replace") for file in benchmark.folder.glob("logs/train_model/*/*/*/*.log")]


def uninterrupted(benchmark):
    """Train one of the runs again, here and in one go, from the same packed images; return its folder."""
    folder = benchmark.folder.parent / "reference"
    folder.mkdir()
    (folder / "data").symlink_to(benchmark.folder / "data")
    settings = max((benchmark.folder / "work" / "settings").glob("*.json"), key=lambda file: file.stat().st_mtime)
    words = ["train", "--dataset", "demo_mvtec", "--category", "cloth", "--seed", "0", "--params", settings]
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
    assert len(daemons(cluster)) >= 1  # so that the check at the end, that none is left, can fail
