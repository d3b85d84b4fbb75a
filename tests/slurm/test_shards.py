"""Several trainings on one GPU, by the lines about jobs per GPU in profiles/slurm/site.yaml."""

import re

import pytest
from trainings import ONE_DATASET, held_with_saved_states, training_of

from slurm import command

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm"), pytest.mark.timeout(2400)]


def test_two_trainings_run_on_one_gpu_at_the_same_time(cluster, benchmark):
    benchmark.configure(train={"epochs": 20}, run=ONE_DATASET)
    snakemake = benchmark.snakemake("checkpoints", profiles=[*benchmark.profiles, "tests/slurm/shards.yaml"])
    pair = held_with_saved_states(benchmark, 2)  # both in the middle of their work
    held = [training_of(job) for job in pair]
    granted = [command("scontrol", "show", "job", "-d", job["id"]) for job in pair]
    assert {re.search(r"Nodes=(\S+) .* GRES=(\S+)", text).groups() for text in granted} == {("g1", "shard:1(IDX:0)")}
    assert [process.environ()["CUDA_VISIBLE_DEVICES"] for process in held] == ["0", "0"]
    for process in held:
        process.resume()
    assert snakemake.wait(timeout=900) == 0, snakemake.log.read_text()[-5000:]
