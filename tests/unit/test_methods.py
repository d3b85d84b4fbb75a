"""What every method of the registry must do, and a toy of ten lines as well: train, be killed, go on, infer, score."""

import os
import signal
import time
from csv import DictReader
from multiprocessing import get_context

import pytest
import torch
from PIL import Image
from pydantic import Field
from tiny_training import BAD, CPU, GOOD, make_packed, params

from tfcore.cli.run import trace_command
from tfcore.methods.base import Fitted, Method, Model
from tfcore.methods.infer import infer
from tfcore.methods.registry import METHODS, load_settings, parse_settings
from tfcore.methods.score import score_run
from tfcore.methods.train import train
from tfcore.metrics.rows import COLUMNS, IMAGE_COLUMNS
from tfcore.operations.plan import make_plan
from tfcore.predict import predict
from tfcore.report.figures.galleries import anomaly_gallery
from tfcore.runs.needed import needed_by
from tfcore.runs.results import Results
from tfcore.runs.run import TEXTURES_FOLDER, Run
from tfcore.runs.stages import Result, effect, method_of, shared_variant, stage_settings
from tfcore.runtime.errors import SettingsError, UserError
from tfcore.runtime.files import read_json, sha256_of
from tfcore.settings.doc import settings_page
from tfcore.settings.sections import Section
from tfcore.settings.variants import resolve
from tfcore.training.checkpoint import load_checkpoint


class MeanImage(Model):
    def __init__(self, mean):
        self.mean = mean

    def maps(self, images):
        return {"map": (images - self.mean).abs().mean(dim=-1)}


class Toy(Method):
    name, title = "toy", "Toy"

    def fit(self, job, data):
        return Fitted({"mean": data.images.float().mean(dim=0)})

    def load(self, checkpoint, infer, hardware, device):
        return MeanImage(checkpoint.state["mean"].to(device))


class Scaled(Toy):
    """A toy with a setting of its own."""

    class Settings(Section):
        """How the toy is scaled."""

        percent: int = Field(100, gt=0, description="scale of the mean image")

    name, title, settings = "scaled", "Scaled toy", Settings

    def fit(self, job, data):
        return Fitted({"mean": super().fit(job, data).state["mean"] * job.settings["percent"] / 100})


EVERY = (*METHODS, "toy")
SMALL = {"transfusion": {}}  # overrides by which a method is small; the settings of the tiny training are so already


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    for method in (Toy(), Scaled()):
        monkeypatch.setitem(METHODS, method.name, method)


def settings_with(name, **changes):
    """Return the tiny settings with a variant ``mine`` of a method."""
    return parse_settings(
        params(variants={"full": {}, "mine": {"method": name} | SMALL.get(name, {})}, **changes), "test"
    )


def train_mine(name, run, hardware=CPU):
    settings = stage_settings(settings_with(name), "train", "mine")
    train(run, settings, run.packed, TEXTURES_FOLDER, run.checkpoint.parent, run.work, hardware)


def child(name, run):
    """Train in a process of its own: saving after every step, or (a method without steps) never coming to the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    METHODS["toy"] = Toy()
    method = METHODS[name]
    settings = resolve(settings_with(name), "mine")
    if not method.epochs(settings.own):
        method.fit = lambda job, data: time.sleep(600)
    train_mine(name, run, CPU.model_copy(update={"save_minutes": 1e-9}))


def kill_in_the_middle(name, run, iterates):
    """SIGKILL a training after its first saved state, or, without steps, as soon as its lock exists."""
    context = get_context("forkserver")  # imports torch once for all children; tfcore is this checkout's
    context.set_forkserver_preload(["torch"])
    process = context.Process(target=child, args=(name, run))
    process.start()
    end = time.monotonic() + 120
    while process.is_alive() and time.monotonic() < end:
        if any(run.work.glob("state-*.pt")) if iterates else run.lock.exists():
            break
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("name", EVERY)
def test_a_method_survives_a_kill_and_leaves_results_that_count_as_made(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_packed(tmp_path)
    settings, whole, run = settings_with(name), Run("toy", "disc", "whole"), Run("toy", "disc", "mine")
    iterates = METHODS[name].epochs(resolve(settings, "mine").own) > 0
    kill_in_the_middle(name, run, iterates)
    assert run.lock.exists() and not run.checkpoint.exists()
    train_mine(name, run)  # the dead process holds nothing
    assert not run.lock.exists() and not run.work.exists()
    record = read_json(Result("train", run).record)
    assert record["model_sha256"] == sha256_of(run.checkpoint)
    if iterates:
        assert 0 < record["resumed_after_step"] < record["steps"]

    train_mine(name, whole)
    resumed, expected = load_checkpoint(run.checkpoint), load_checkpoint(whole.checkpoint)
    assert resumed.run == {"method": name, "dataset": "toy", "category": "disc", "variant": "mine", "seed": 0}
    assert resumed.state.keys() == expected.state.keys()
    for key, value in expected.state.items():
        assert value.numel() and torch.equal(resumed.state[key], value), key

    infer(run.checkpoint, run.packed, run.maps.parent, stage_settings(settings, "infer", "mine"), CPU, run)
    score_run(run.maps, stage_settings(settings, "score", "mine"), run.scores, run)
    with run.scores.open() as file:
        scores = list(DictReader(file))
    assert tuple(scores[0]) == COLUMNS and {row["method"] for row in scores} == {name}
    assert [row["metric"] for row in scores] == [
        "image_auroc",
        "image_ap",
        "f1_max",
        "aupro",
        "pixel_auroc",
        "pixel_ap",
    ]
    assert all(0 <= float(row["value"]) <= 1 for row in scores)
    with run.images.open() as file:
        images = list(DictReader(file))
    assert tuple(images[0]) == IMAGE_COLUMNS and [row["label"] for row in images] == ["0"] * GOOD + ["1"] * BAD
    for stage in ("train", "infer", "score"):
        result = Result(stage, run)
        assert read_json(result.record)["run_id"] == run.id
        assert Results(settings).is_made(result), stage


def test_another_training_makes_what_follows_from_it_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_packed(tmp_path)
    run = Run("toy", "disc", "mine")

    def made(settings):
        return [Results(settings).is_made(Result(stage, run)) for stage in ("train", "infer", "score")]

    settings = settings_with("scaled")
    train_mine("scaled", run)
    infer(run.checkpoint, run.packed, run.maps.parent, stage_settings(settings, "infer", "mine"), CPU, run)
    score_run(run.maps, stage_settings(settings, "score", "mine"), run.scores, run)
    assert made(settings) == [True, True, True]
    assert made(settings_with("scaled", score={"fpr_limit": 0.1})) == [True, True, False]
    assert made(settings_with("scaled", methods={"scaled": {"percent": 50}})) == [False, False, False]
    assert made(settings_with("toy")) == [False, False, False]  # of another method
    Result("train", run).record.unlink()
    assert made(settings) == [False, True, True]  # as in a clone without checkpoints


def test_pictures_are_scored_by_any_method(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_packed(tmp_path)
    run = Run("toy", "disc", "mine")
    train_mine("toy", run)
    Image.new("RGB", (30, 20), (0, 0, 0)).save("black.png")
    scores = predict(run.checkpoint, [tmp_path / "black.png"], tmp_path / "out", settings_with("toy"), CPU)
    assert 90 < scores["black"] < 110  # the mean image is grey, and its map is not limited to [0, 1]
    assert (tmp_path / "out/black_map.png").exists()


def test_what_a_method_does_not_show_is_refused_in_one_line_or_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_packed(tmp_path)
    run = Run("toy", "disc", "mine")
    train_mine("toy", run)
    with pytest.raises(UserError, match=rf"^{run.checkpoint}: Toy has no steps to trace$"):
        trace_command(run.checkpoint, run.packed, tmp_path / "trace.safetensors", None, "cpu")
    stage = stage_settings(settings_with("toy"), "train", "mine")
    anomaly_gallery(run.packed, TEXTURES_FOLDER, stage, tmp_path / "sheet.png")
    assert Image.open("sheet.png").width > 500  # the training images alone


# Settings


def test_a_variant_of_another_method_reads_what_that_method_reads():
    settings = settings_with("toy")
    assert resolve(settings, "mine").method == "toy"
    assert method_of(settings, "mine").name == "toy" and method_of(settings, "full").name == next(iter(METHODS))
    assert stage_settings(settings, "train", "mine").keys() == {
        *("method", "version", "pack_version", "protocol", "data", "checkpoint_epochs")
    }
    assert stage_settings(settings, "infer", "mine") == {"version": 1}
    score = stage_settings(settings, "score", "mine")
    assert score["score"].keys() == {"mask_rule", "fpr_limit", "resamples", "confidence"}
    assert score["score"]["mask_rule"] == "nearest"  # as the protocol says
    assert all(shared_variant(settings, stage, "mine") == "mine" for stage in ("train", "infer", "score"))


def test_settings_of_a_method_stand_in_its_section_and_variants_change_them():
    variants = {"full": {}, "mine": {"method": "scaled"}, "half": {"method": "scaled", "scaled.percent": 50}}
    settings = parse_settings(params(methods={"scaled": {"percent": 80}}, variants=variants), "test")
    assert [resolve(settings, name).own.percent for name in ("mine", "half")] == [80, 50]
    assert stage_settings(settings, "train", "half")["percent"] == 50
    assert shared_variant(settings, "train", "half") == "half"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {"x": {"method": "toy", "score.lambda": 0.5}}}, "variants.x: no such setting 'score.lambda' to "),
        ({"variants": {"x": {"method": "toy", "train.epochs": 1}}}, "variants.x: no such setting 'train.epochs' to "),
        ({"variants": {"x": {"method": "scaled", "scaled.size": 1}}}, "variants.x: no such setting 'scaled.size' to "),
        ({"variants": {"x": {"scaled.percent": 1}}}, "variants.x: no such setting 'scaled.percent' to override"),
        ({"variants": {"x": {"method": "scaled", "scaled.percent": 0}}}, "variants.x: methods.scaled.percent: "),
        ({"variants": {"x": {"method": "tooy"}}}, "variants.x: method: no such method 'tooy' (known: transfusion, "),
        ({"method": "tooy"}, "method: no such entry 'tooy' (known: transfusion, "),
        ({"methods": {"scaled": {"precent": 5}}}, "unknown key 'methods.scaled.precent'"),
        ({"methods": {"tooy": {}}}, "unknown key 'methods.tooy'"),
    ],
)
def test_settings_that_a_method_does_not_have_are_refused_in_one_line(changes, message):
    values = params(**changes)
    values["variants"] = {"full": {}} | values.get("variants", {})
    with pytest.raises(SettingsError) as refused:
        parse_settings(values, "mine.yaml")
    text = str(refused.value)
    assert text.startswith(f"mine.yaml: {message}") and "\n" not in text
    assert not message.endswith("(known: transfusion, ") or text.endswith("toy, scaled)")


def test_the_settings_page_has_the_settings_of_every_method():
    settings = settings_with("toy")
    page = settings_page(settings, lambda key: effect(settings, key))
    row = next(line for line in page.splitlines() if line.startswith("| `methods.scaled.percent` |"))
    assert "scale of the mean image" in row and row.endswith("| train, infer, score, sweep |")


# What is to do


def test_targets_and_plan_know_a_method_that_sweeps_nothing_and_costs_nobody_knows_what(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_packed(tmp_path)
    settings = settings_with("toy", run={"sweep_variants": ["full", "mine"]})
    sweeps = [result.run.variant for result in needed_by(settings, ["all_tables"]) if result.stage == "sweep"]
    assert sweeps == ["full"]
    plan = make_plan(settings)
    assert plan.count("train") == plan.count("score") == (0, 2)
    assert "operations of Toy: not known" in plan.unknown


def test_a_benchmark_may_have_another_method_than_the_first(tmp_path):
    (tmp_path / "params.yaml").write_text(
        "method: toy\nrun: {datasets: [mine]}\ntextures: {}\n"
        "datasets: {mine: {title: Mine, layout: mvtec, categories: [cog]}}\n"
    )
    settings = load_settings(tmp_path / "params.yaml")
    assert stage_settings(settings, "train")["method"] == "toy"
    assert needed_by(settings, ["metrics"]) == [Result("score", Run("mine", "cog"))]
