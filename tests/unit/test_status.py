"""The status tells running, interrupted and failed jobs apart."""

import os
import platform
import time
from pathlib import Path

import pytest
from test_plan import VALUES, finish, settings  # noqa: F401
from typer.testing import CliRunner

import tfcore.cli.operations  # noqa: F401
from tfcore.cli import app
from tfcore.methods.registry import parse_settings
from tfcore.operations.plan import make_plan
from tfcore.operations.status import make_status
from tfcore.runs.run import Run
from tfcore.training.lock import locked


@pytest.fixture
def one(settings):  # noqa: F811
    values = dict(VALUES, datasets={"made": VALUES["datasets"]["made"] | {"categories": ["a"]}})
    return parse_settings(values | {"variants": {"full": {}, "short": {"train.epochs": 5}}}, "test")


def log_of(rule, run, text):
    file = run.checkpoint.parents[6] / "logs" / rule / f"{run.id}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_nothing_has_begun(one):
    status = make_status(make_plan(one))
    assert (status.running, status.failed, status.eta_seconds) == ([], [], None)


def test_running_training_shows_its_step(one):
    run = Run("made", "a")
    run.work.mkdir(parents=True)
    (run.work / "log.csv").write_text("step,epoch,images_per_second\n5,3,7.5\n10,5,8.5\n")
    log_of("train_model", run, "step 10 of 20\n")
    with locked(run.lock):
        status = make_status(make_plan(one))
    (running,) = status.running
    assert (running.step, running.epoch, running.images_per_second) == (10, 5, 8.5)
    assert platform.node() in running.owner
    assert status.failed == []


def test_failed_training_shows_the_end_of_its_log(one):
    log_of("train_model", Run("made", "a"), "1\n2\n3\nerror: the loss is not finite\n")
    status = make_status(make_plan(one), lines=2)
    (failed,) = status.failed
    assert failed.lines == ["3", "error: the loss is not finite"]
    assert not failed.interrupted


def test_interrupted_training_is_no_failure(one):
    text = "error: training stopped by SIGTERM after step 7 of 20, state saved in work; the same command continues it\n"
    log_of("train_model", Run("made", "a"), text)
    (found,) = make_status(make_plan(one)).failed
    assert found.interrupted


def test_job_that_logs_still_counts_as_running_until_it_is_silent(one):
    log = log_of("score_maps", Run("made", "a"), "")
    status = make_status(make_plan(one))
    assert (status.failed, status.at_work) == ([], ["score_maps made/a/full/seed0"])
    long_ago = time.time() - 3600
    os.utime(log, (long_ago, long_ago))
    (found,) = make_status(make_plan(one)).failed
    assert found.job == "score_maps made/a/full/seed0"
    assert found.lines == ["(nothing was logged)"]


def test_finished_training_is_neither(one):
    run = Run("made", "a")
    finish(one, run, "train", images_per_second=40.0, device="Some GPU")
    log_of("train_model", run, "error: of an earlier attempt\n")
    status = make_status(make_plan(one))
    assert status.failed == []


def test_result_of_other_settings_is_no_failure(one):
    finish(one, Run("made", "a"), "train", settings_digest="of other settings")
    log = log_of("train_model", Run("made", "a"), "step 20 of 20\n")
    status = make_status(make_plan(one))
    assert status.plan.count("train")[0] == 0
    assert (status.failed, status.at_work) == ([], [])
    log.write_text("error: the loss is not finite\n")
    assert len(make_status(make_plan(one)).failed) == 1


@pytest.mark.parametrize("name", ["fetch_dataset/made", "check_category/made/a", "time_inference", "plot_losses/made"])
def test_every_rule_that_failed_is_shown(one, name):
    log, record = Path(f"logs/{name}.log"), Path(f"logs/benchmarks/{name}.tsv")
    for file in (log, record):
        file.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("downloading\n")
    assert make_status(make_plan(one)).at_work == [name.replace("/", " ", 1)]
    log.write_text("downloading\nerror: disk full\n")
    (failed,) = make_status(make_plan(one)).failed
    assert (failed.job, failed.lines[-1]) == (name.replace("/", " ", 1), "error: disk full")
    record.write_text("s\n1\n")  # what Snakemake writes of a job that succeeded
    assert make_status(make_plan(one)).failed == []
    os.utime(record, (1e9, 1e9))  # it failed again since
    assert len(make_status(make_plan(one)).failed) == 1


def test_job_that_was_killed_without_a_word_is_shown_once_it_is_silent(one):
    for name in ("report", "tables_so_far"):  # the latter has no record of success
        log = Path(f"logs/{name}.log")
        log.parent.mkdir(exist_ok=True)
        log.write_text("")
        os.utime(log, (1e9, 1e9))
    (failed,) = make_status(make_plan(one)).failed
    assert (failed.job, failed.lines) == ("report", ["(nothing was logged)"])


def test_command_prints_failures_and_jobs_at_work(one, tmp_path):
    (tmp_path / "params.yaml").write_text(one.model_dump_json(by_alias=True))
    for rule, text in (("fetch_dataset", "error: no address works\n"), ("pack_category", "")):
        (tmp_path / "logs" / rule).mkdir(parents=True)
        (tmp_path / "logs" / rule / "made.log").write_text(text)
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 0, result.output
    assert "other jobs at work, by their logs: pack_category made\nfailed: 1\n" in result.output
    assert "  fetch_dataset made, logs/fetch_dataset/made.log:\n    error: no address works" in result.output
