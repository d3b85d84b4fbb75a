import csv
import errno
import json
import re
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from small_disk import small_disk
from tiny_training import BAD, CPU, GOOD, RUN, SIZE, make_packed, params, settings_of

import tfcore.methods.infer
from tfcore.cli.run import trace_command
from tfcore.data.packed import Packed
from tfcore.methods.infer import Loaded, infer
from tfcore.methods.registry import parse_settings
from tfcore.methods.transfusion.diffusion import betas, reverse_step
from tfcore.methods.transfusion.maps import final_maps
from tfcore.methods.transfusion.settings import TrainingSettings
from tfcore.methods.transfusion.train import new_network
from tfcore.metrics.maps import MapsFile
from tfcore.operations.inference_time import time_inference
from tfcore.predict import predict
from tfcore.runs.record import run_names, source_commit
from tfcore.runs.run import Run
from tfcore.runtime.errors import UserError
from tfcore.runtime.files import read_json, sha256_of
from tfcore.training.checkpoint import save_checkpoint

CROP, COUNT = SIZE - 4, GOOD + BAD
SETTINGS = parse_settings(params(), "test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A packed category and an untrained checkpoint: inference does not care."""
    base = tmp_path_factory.mktemp("infer")
    packed, _ = make_packed(base)
    return packed, untrained(base / "model.safetensors"), base


def untrained(checkpoint, run=RUN, **sections):
    """Write the checkpoint of an untrained network."""
    settings = settings_of(**sections)
    state = new_network(TrainingSettings.model_validate(settings), 3).state_dict()
    save_checkpoint(checkpoint, state, run_names(run, "transfusion"), settings)
    return checkpoint


def trace(checkpoint, packed, index, out):
    """Trace as the command does."""
    trace_command(checkpoint, packed, out, index, "cpu")


def run_inference(trained, name, infer_batch=32, run=None):
    packed, checkpoint, base = trained
    hardware = CPU.model_copy(update={"infer_batch": infer_batch})
    infer(checkpoint, packed, base / name, settings_of("infer"), hardware, run)
    return base / name / "maps.safetensors"


def test_the_maps_file_is_what_scoring_reads(trained):
    path = run_inference(trained, "maps")
    maps = load_file(path)
    for name in ("disc", "recon", "last"):
        assert maps[name].shape == (COUNT, CROP, CROP) and maps[name].dtype == torch.float32
        assert maps[name].min() >= 0 and maps[name].max() <= 1
    assert maps["label"].tolist() == [0] * GOOD + [1] * BAD
    with safe_open(path, "pt") as file:
        header = file.metadata()
    assert json.loads(header["run"])["category"] == "disc" and header["checkpoint_sha256"] == sha256_of(trained[1])
    assert header["commit"] == str(source_commit()["commit"] or "")
    assert json.loads(header["files"]) == Packed(trained[0]).files and json.loads(header["defects"])[-1] == "stain"
    assert MapsFile(path)["disc"].shape == (COUNT, CROP, CROP)
    record = read_json(path.with_name("run.json"))
    assert record["maps_sha256"] == sha256_of(path) and record["images"] == COUNT


def test_both_ground_truths_are_cropped_as_the_images(trained):
    maps = load_file(run_inference(trained, "truth"))
    for rule in ("nearest", "antialiased"):
        expected = np.load(trained[0] / f"masks_{rule}.npy")[:, 2:-2, 2:-2]
        assert np.array_equal(maps[f"mask_{rule}"], expected)
    assert not np.array_equal(maps["mask_nearest"], maps["mask_antialiased"])


def test_recon_is_the_squared_error_of_the_reconstruction(trained):
    maps = load_file(run_inference(trained, "recon"))
    images = Packed(trained[0]).test_images(CROP).astype(np.float32) / 255
    expected = ((maps["reconstruction"].numpy() / 255 - images) ** 2).mean(axis=-1)
    assert np.allclose(maps["recon"], expected, atol=5e-3)  # the reconstruction is kept in 8 bits


@pytest.mark.parametrize("infer_batch", [1, 2, 3])
def test_a_map_does_not_depend_on_its_batch(trained, infer_batch):
    whole, parts = load_file(run_inference(trained, "whole")), load_file(run_inference(trained, "parts", infer_batch))
    assert torch.allclose(whole["disc"], parts["disc"], atol=1e-5)


def test_equal_weights_and_images_give_equal_files(trained):
    first, second = run_inference(trained, "first"), run_inference(trained, "second")
    assert first.read_bytes() == second.read_bytes()  # DVC stores them once


@pytest.mark.parametrize(("key", "found"), [("dataset", "toys"), ("category", "cup")])
def test_images_of_another_category_are_refused(trained, tmp_path, key, found):
    _, checkpoint, _ = trained
    other, _ = make_packed(tmp_path)
    about = read_json(other / "pack.json")
    (other / "pack.json").write_text(json.dumps(about | {key: found}))
    message = f"{checkpoint}: trained on the {key} {about[key]}, but {other} holds {found}; give"
    with pytest.raises(UserError, match=re.escape(message)):
        infer(checkpoint, other, tmp_path / "maps", settings_of("infer"), CPU)
    with pytest.raises(UserError, match=re.escape(message)):
        trace(checkpoint, other, None, tmp_path / "trace.safetensors")
    assert not (tmp_path / "maps").exists()
    converted = untrained(tmp_path / "model.safetensors", Run("unknown", "unknown"))  # an authors' file without names
    infer(converted, other, tmp_path / "maps", settings_of("infer"), CPU)
    assert MapsFile(tmp_path / "maps/maps.safetensors").header["run"][key] == found


def test_images_packed_at_another_size_are_refused(trained, tmp_path):
    packed, _, _ = trained
    checkpoint = untrained(tmp_path / "model.safetensors", data={"resize": SIZE + 8})
    message = f"{checkpoint}: trained with data.resize {SIZE + 8}, but {packed} was packed at {SIZE} pixels; pack it"
    with pytest.raises(UserError, match=re.escape(message)):
        infer(checkpoint, packed, tmp_path / "maps", settings_of("infer"), CPU)
    with pytest.raises(UserError, match=re.escape(message)):
        trace(checkpoint, packed, None, tmp_path / "trace.safetensors")
    assert not (tmp_path / "maps").exists()


def test_maps_of_another_variant_carry_its_name(trained):
    path = run_inference(trained, "variant", run=Run("toy", "disc", "slow"))
    assert read_json(path.with_name("run.json"))["run_id"] == "toy/disc/slow/seed0"
    assert MapsFile(path).header["run"]["variant"] == "slow"


def test_a_damaged_or_missing_checkpoint_is_one_line(trained):
    packed, checkpoint, base = trained
    broken = base / "broken.safetensors"
    broken.write_bytes(checkpoint.read_bytes()[:-200])
    for path in (broken, base / "none.safetensors"):
        with pytest.raises(UserError, match=path.name):
            infer(path, packed, base / "out", settings_of("infer"), CPU)
    assert not (base / "out").exists()


def test_weights_that_do_not_fit_the_settings_are_refused(trained, tmp_path):
    whole, path = Loaded.read(trained[1], CPU).checkpoint, tmp_path / "model.safetensors"
    wider = whole.settings | {"model": whole.settings["model"] | {"width": 16}}
    foreign = {name: value for name, value in whole.settings.items() if name != "diffusion"}
    for settings in (wider, foreign, {}):
        save_checkpoint(path, whole.state, whole.run, settings)
        with pytest.raises(
            UserError, match=r"model\.safetensors: weights and settings do not fit this version"
        ) as error:
            Loaded.read(path, CPU)
        assert "\n" not in str(error.value)
    save_checkpoint(path, whole.state, whole.run | {"method": "another"}, whole.settings)
    with pytest.raises(UserError, match=r"no such method 'another' \(known: transfusion"):
        Loaded.read(path, CPU)


def test_a_full_disk_is_one_line_and_leaves_no_part_of_a_file(trained, tmp_path):
    packed, checkpoint, _ = trained
    with small_disk(tmp_path / "disk", 8):
        with pytest.raises(UserError, match=r"^inference with .*: the disk is full; free some space and run again$"):
            infer(checkpoint, packed, tmp_path / "disk", settings_of("infer"), CPU)
        assert not list((tmp_path / "disk").iterdir())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (torch.OutOfMemoryError("CUDA out of memory"), "the GPU is out of memory; .*hardware.infer_batch"),
    ],
)
def test_faults_become_one_line(trained, monkeypatch, tmp_path, fault, message):
    monkeypatch.setattr(tfcore.methods.infer, "make_maps", Mock(side_effect=fault))
    with pytest.raises(UserError, match=f"^inference with {trained[1]}: {message}"):
        infer(trained[1], trained[0], tmp_path / "out", settings_of("infer"), CPU)
    assert not list(tmp_path.iterdir())


def test_the_trace_obeys_the_reverse_step(trained):
    packed, checkpoint, base = trained
    trace(checkpoint, packed, None, base / "trace.safetensors")
    with safe_open(base / "trace.safetensors", framework="numpy") as file:
        assert file.metadata()["checkpoint_sha256"] == sha256_of(checkpoint)
    kept = load_file(base / "trace.safetensors")
    assert kept["t"].tolist() == [4, 3, 2, 1] and kept["x_t"].shape == (4, 3, CROP, CROP)
    assert kept["ground_truth"].any()  # the first anomalous image
    table = betas(4, "linear", dtype=torch.float32)
    following = reverse_step(
        kept["x_t"], kept["t"], kept["mask"][:, None], kept["anomaly"], kept["normal"], table, "epsilon"
    )
    assert torch.allclose(following[:-1], kept["x_t"][1:], atol=1e-6)
    assert torch.allclose(following[-1], kept["x_0"], atol=1e-6)


def test_a_row_that_is_not_there_is_refused(trained):
    with pytest.raises(UserError, match="--index: 5 is not within the 5 test images"):
        trace(trained[1], trained[0], COUNT, trained[2] / "none.safetensors")


def test_pictures_of_any_kind_are_scored_as_inference_does(trained):
    packed, checkpoint, base = trained
    pictures = base / "pictures"
    (pictures / "wide").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 4), dtype=np.uint8)
    Image.fromarray(noise).save(pictures / "alpha.png")
    Image.fromarray(noise[..., 0]).save(pictures / "wide/grey.jpg")
    Image.fromarray(noise[..., 0].astype(np.uint16) * 257).save(pictures / "deep.png")
    Image.fromarray(Packed(packed).test_images()[0]).save(pictures / "first.png")
    scores = predict(checkpoint, [pictures], base / "predicted", SETTINGS, CPU)
    assert sorted(scores) == ["alpha", "deep", "first", "wide/grey"]
    written = np.asarray(Image.open(base / "predicted/wide/grey_map.png"))
    assert written.shape == (CROP, CROP) and written.max() / 65535 == pytest.approx(scores["wide/grey"], abs=1e-4)
    assert Image.open(base / "predicted/alpha_overlay.png").mode == "RGB"
    assert read_json(base / "predicted/scores.json")["scores"] == scores
    maps = MapsFile(run_inference(trained, "same"))
    assert final_maps(maps["disc"], maps["recon"], 0.95, 7)[0].max() == pytest.approx(scores["first"], abs=1e-5)
    other = parse_settings(params(score={"lambda": 0.5, "kernel": 3}), "test")
    scores = predict(checkpoint, [pictures / "first.png"], base / "other", other, CPU)
    assert final_maps(maps["disc"], maps["recon"], 0.5, 3)[0].max() == pytest.approx(scores["first"], abs=1e-5)


def test_a_prediction_is_scored_as_the_checkpoints_variant_is(trained, tmp_path):
    picture = tmp_path / "first.png"
    Image.fromarray(Packed(trained[0]).test_images()[0]).save(picture)
    variants = {"full": {}, "sharp": {"score.kernel": 1}, "wide": {"score.kernel": 9}}
    settings = parse_settings(params(variants=variants, tables={"baseline": "wide"}), "test")
    maps = MapsFile(run_inference(trained, "same"))
    for variant, kernel in (("sharp", 1), ("full", 7), ("unknown", 9)):  # converted weights: as the baseline
        checkpoint = untrained(tmp_path / f"{variant}.safetensors", Run("toy", "disc", variant))
        score = predict(checkpoint, [picture], tmp_path / variant, settings, CPU)["first"]
        assert final_maps(maps["disc"], maps["recon"], 0.95, kernel)[0].max() == pytest.approx(score, abs=1e-5)


def test_pictures_that_cannot_be_read_are_named(trained, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match=r"text\.png"):
        predict(trained[1], [tmp_path], tmp_path / "out", SETTINGS, CPU)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no pictures in this folder"):
        predict(trained[1], [tmp_path / "empty"], tmp_path / "out", SETTINGS, CPU)


def test_inference_is_timed_at_every_point(trained, tmp_path):
    time_inference(trained[1], [3, 6], [1, 2], CPU, tmp_path / "times.csv")
    with (tmp_path / "times.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["steps"], row["batch"]) for row in rows] == [("3", "1"), ("3", "2"), ("6", "1"), ("6", "2")]
    assert all(0 < float(row["lowest"]) <= float(row["seconds_per_image"]) <= float(row["highest"]) for row in rows)
    assert {row["size"] for row in rows} == {str(CROP)}
