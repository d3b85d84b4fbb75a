"""Costs add up the workflow's benchmark files, and count the attempts before a resumed one."""

import csv
import json

import pytest
from test_plan import VALUES, settings  # noqa: F401
from typer.testing import CliRunner

import tfcore.cli.operations  # noqa: F401
from tfcore.cli import app
from tfcore.operations.cost import cost_rows, read_jobs, table_costs, total, write_costs

HEADER = "s\th:m:s\tmax_rss\tmax_vms\n"


def leave(folder, rule, of, measured, memory="100.5", **record):
    file = folder / "logs/benchmarks" / rule / f"{of}.tsv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{HEADER}{measured}\t0:00:01\t{memory}\t1\n")
    if record:
        kinds = {"train_model": "checkpoints", "infer_maps": "maps", "infer_epoch500": "maps"}
        within = "epoch500" if rule == "infer_epoch500" else ""
        target = folder / "results" / kinds[rule] / of / within / "run.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(record))


@pytest.fixture
def folder(settings, tmp_path):  # noqa: F811
    leave(tmp_path, "train_model", "made/a/full/seed0", 3600, device="NVIDIA H200", steps=100, resumed_after_step=0)
    leave(
        tmp_path, "train_model", "made/a/few/seed0", 1800, "200", device="NVIDIA H200", steps=100, resumed_after_step=75
    )
    leave(tmp_path, "infer_maps", "made/a/full/seed0", 36, device="CPU of some kind")
    leave(tmp_path, "score_maps", "made/a/full/seed0", 7.2, "-")
    leave(tmp_path, "pack_category", "made/a", 72)
    (tmp_path / "logs/benchmarks/gather_metrics.tsv").write_text(f"{HEADER}3.6\t0:00:03\t50\t1\n")
    (tmp_path / "logs/benchmarks/score_maps/damaged.tsv").write_text("s\th:m:s\n")
    return tmp_path


def test_rows_per_rule_and_category(folder):
    rows = {(row.rule, row.category): row for row in cost_rows(read_jobs())}
    train = rows["train_model", "made/a"]
    # One hour, and half an hour for the last quarter of the steps: two hours for all of them.
    assert (train.jobs, train.hours, train.gpu_hours, train.memory, train.resumed) == (2, 3.0, 3.0, 200.0, 1)
    assert rows["infer_maps", "made/a"].gpu_hours == 0
    assert rows["score_maps", "made/a"].memory is None
    assert rows["gather_metrics", ""].jobs == 1
    assert len(rows) == 5


def test_inference_of_a_kept_epoch_costs_gpu_hours(folder):
    leave(folder, "infer_epoch500", "made/a/full/seed0", 72, device="NVIDIA H200")
    rows = {(row.rule, row.category): row for row in cost_rows(read_jobs())}
    assert rows["infer_epoch500", "made/a"].gpu_hours == pytest.approx(0.02)


def test_most_expensive_rule_comes_first(folder):
    assert [row.rule for row in cost_rows(read_jobs())][:2] == ["train_model", "pack_category"]


def test_tables_count_what_they_rest_on(folder, settings):  # noqa: F811
    rows = {row.rule: row for row in table_costs(read_jobs(), settings)}
    assert set(rows) == {"Tables 2, 7 and 9", "Table 3", "Table 4 (ablations)", "Table 5"}  # nothing like VisA here
    assert rows["Tables 2, 7 and 9"].gpu_hours == rows["Table 3"].gpu_hours == 1.0
    assert rows["Table 4 (ablations)"].gpu_hours == 3.0
    assert rows["Table 5"].jobs == 0


def test_measuring_the_speed_costs_gpu_hours_where_it_ran_on_a_gpu(folder, settings):  # noqa: F811
    (folder / "logs/benchmarks/time_inference.tsv").write_text(f"{HEADER}7200\t2:00:00\t50\t1\n")
    for device, hours in (("NVIDIA H200", 2.0), ("CPU of some kind", 0.0)):
        (folder / "results/timing.csv").write_text(f"device,steps\n{device},20\n")
        rows = {row.rule: row for row in table_costs(read_jobs(), settings)}
        assert (rows["Table 5"].hours, rows["Table 5"].gpu_hours) == (2.0, hours)


def test_csv_has_all_rows(folder):
    rows = cost_rows(read_jobs())
    write_costs([*rows, total("all", "", read_jobs())], folder / "cost.csv")
    with (folder / "cost.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert len(written) == 6
    assert float(written[-1]["gpu_hours"]) == 3.0


def test_command(folder):
    (folder / "params.yaml").write_text(json.dumps(VALUES))
    result = CliRunner().invoke(app, ["cost", "--out", "results/cost.csv"])
    assert result.exit_code == 0, result.output
    assert "Table 4 (ablations)" in result.output
    assert (folder / "results/cost.csv").exists()


def test_job_that_found_its_result_done_does_not_hide_the_cost(folder):
    of = "made/b/full/seed0"
    leave(folder, "train_model", of, 9, device="NVIDIA H200", steps=100, resumed_after_step=0, seconds=7200.0)
    rows = {(row.rule, row.category): row for row in cost_rows(read_jobs())}
    assert rows["train_model", "made/b"].gpu_hours == 2.0


def test_jobs_of_another_folder_are_read_with_their_records(folder, tmp_path_factory, monkeypatch):
    (folder / "logs/benchmarks/time_inference.tsv").write_text(f"{HEADER}7200\t2:00:00\t50\t1\n")
    (folder / "results/timing.csv").write_text("device,steps\nNVIDIA H200,20\n")
    here = read_jobs()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert read_jobs() == []
    assert read_jobs(folder) == here
    assert sum(job.gpu_seconds for job in here) == (3 + 2) * 3600
