"""The whole benchmark through `snakemake --profile slurm` on a real slurmctld."""

import json
import os
import re
import subprocess
import sys

import pytest

from slurm import command, jobs, running

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1800)]


def test_all_tables_through_the_slurm_profile(cluster, benchmark):
    benchmark.configure(train={"epochs": 2})
    earlier = {job["id"] for job in jobs()}
    process = benchmark.snakemake("all_tables")
    assert process.wait(timeout=1500) == 0, process.log.read_text()[-5000:]

    tables = benchmark.folder / "results" / "tables"
    assert {f"table{number}.md" for number in range(1, 10)} <= {file.name for file in tables.iterdir()}
    assert running() == []

    submitted = [job for job in jobs() if job["id"] not in earlier]
    trainings = [job for job in submitted if job["comment"].startswith("rule_train_model")]
    assert len(trainings) == 2
    assert all(job["gpus"] == 1 and job["partition"] == "gpu" for job in trainings)
    # Two categories: checked and packed, scored twice and swept, in one submission each; all drawings in a few.
    grouped = [job for job in submitted if re.match("rule_(pack|score|draw)_", job["comment"])]
    assert 0 < len([job for job in grouped if "score" in job["comment"]]) <= 1
    assert len(submitted) < 20
    if os.environ.get("ACCOUNTING") == "1":
        accounted = command("sacct", "-n", "-X", "-P", "-o", "JobID,State,Account").split()
        assert {f"{job['id']}|COMPLETED|root" for job in submitted} <= set(accounted)

    record = json.loads(next(benchmark.folder.glob("results/checkpoints/*/*/full/seed0/run.json")).read_text())
    assert record["resumed_after_step"] == 0

    again = benchmark.snakemake("--dry-run", "all_tables")
    assert again.wait(timeout=300) == 0
    assert "Nothing to be done" in again.log.read_text()

    settings = max((benchmark.folder / "work" / "settings").glob("*.json"), key=lambda file: file.stat().st_mtime)
    plan = tfcore(benchmark.folder, "plan", "--params", settings)
    assert re.findall(r"^(\w+) +(\d+) +(\d+) +(\d+)$", plan, re.M) == [
        ("trainings", "2", "0", "2"),
        ("inferences", "2", "0", "2"),
        ("scorings", "2", "0", "2"),
        ("sweeps", "2", "0", "2"),
    ]
    assert "failed: nothing" in tfcore(benchmark.folder, "status", "--params", settings)
    assert "train_model" in tfcore(benchmark.folder, "cost", "--params", settings)


def tfcore(folder, *words):
    """Run a command of the program in a benchmark's folder and return what it prints."""
    command = [sys.executable, "-m", "tfcore", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
