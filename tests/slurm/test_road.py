"""The whole benchmark through `snakemake --profile slurm` on a real slurmctld."""

import json
import os
import re

import pandas as pd
import pytest

from slurm import command, jobs, running

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm"), pytest.mark.timeout(3600)]


def test_all_tables_through_the_slurm_profile(cluster, benchmark):
    benchmark.configure(train={"epochs": 2})
    earlier = {job["id"] for job in jobs()}
    sacct = ["tests/slurm/accounting.yaml"] if os.environ.get("ACCOUNTING") == "1" else []
    process = benchmark.snakemake("all_tables", profiles=[*benchmark.profiles, *sacct])
    assert process.wait(timeout=3000) == 0, process.log.read_text()[-5000:]

    tables = benchmark.folder / "results" / "tables"
    assert {f"table{number}.md" for number in range(1, 10)} <= {file.name for file in tables.iterdir()}
    assert running() == []

    submitted = [job for job in jobs() if job["id"] not in earlier]
    trainings = [job for job in submitted if job["comment"].startswith("rule_train_model")]
    assert len(trainings) == 5
    assert all(job["gpus"] == 1 and job["partition"] == "gpu" for job in trainings)
    # All scores and sweeps are one submission; all drawings are a few.
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

    plan = benchmark.tfcore("plan")
    assert re.findall(r"^(\w+) +(\d+) +(\d+) +(\d+)$", plan, re.M) == [
        ("trainings", "5", "0", "5"),
        ("inferences", "5", "0", "5"),
        ("scorings", "5", "0", "5"),
        ("sweeps", "4", "0", "4"),
    ]
    assert "failed: nothing" in benchmark.tfcore("status")
    assert "train_model" in benchmark.tfcore("cost")


@pytest.mark.skipif(os.environ.get("DEMO") != "1", reason="takes as long as the demo: DEMO=1 make test-slurm")
def test_the_demo_at_its_full_size_through_the_slurm_profile(cluster, benchmark):
    benchmark.overlays = ("profiles/demo/params.yaml",)
    benchmark.configure(hardware={"threads": 1})
    process = benchmark.snakemake("all_tables")
    assert process.wait(timeout=3000) == 0, process.log.read_text()[-5000:]

    rows = pd.read_csv(benchmark.folder / "results/metrics.csv")
    scores = rows[(rows.point == "main") & (rows.metric == "image_auroc") & (rows.category != "average")]
    # `full` and `untrained`, and on one category the rows of Table 4.
    assert dict(scores.category.value_counts()) == {"cloth": 2, "nut": 2, "pills": 2, "board": 17}
    assert scores[scores.variant == "full"].value.mean() >= 0.90
    again = benchmark.snakemake("--dry-run", "all_tables")
    assert again.wait(timeout=300) == 0
    assert "Nothing to be done" in again.log.read_text()
