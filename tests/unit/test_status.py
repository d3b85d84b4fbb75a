"""The status tells running, interrupted and failed jobs apart."""

import os
import platform
import time

import pytest
from test_plan import VALUES, finish, settings  # noqa: F401

from tfcore.claim import Claim
from tfcore.config import parse_settings
from tfcore.plan import make_plan
from tfcore.runs import Run
from tfcore.status import claim_file, make_status


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
    Claim(claim_file(run)).take()
    log_of("train_model", run, "step 10 of 20\n")
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
    assert make_status(make_plan(one)).failed == []
    long_ago = time.time() - 3600
    os.utime(log, (long_ago, long_ago))
    (found,) = make_status(make_plan(one)).failed
    assert found.task.stage == "score"
    assert found.lines == ["(nothing was logged)"]


def test_finished_training_is_neither(one):
    run = Run("made", "a")
    finish(one, run, "train", images_per_second=40.0, device="Some GPU", model_sha256="m")
    log_of("train_model", run, "error: of an earlier attempt\n")
    status = make_status(make_plan(one))
    assert [failure.task.run for failure in status.failed] == []
