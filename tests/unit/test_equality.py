import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_training import CPU, RUN, TRAIN, make_packed, settings_of

from tfcore.anomalies.perlin import perlin_noise
from tfcore.methods.infer import Loaded, infer
from tfcore.methods.train import train
from tfcore.methods.transfusion.batch import Batch, make_batch
from tfcore.methods.transfusion.infer import to_input
from tfcore.methods.transfusion.losses import unit_ssim
from tfcore.methods.transfusion.maps import final_maps
from tfcore.methods.transfusion.settings import TrainingSettings
from tfcore.methods.transfusion.train import new_network
from tfcore.metrics.aupro import aupro
from tfcore.metrics.auroc import image_auroc
from tfcore.metrics.maps import MapsFile
from tfcore.metrics.score import maximum
from tfcore.runs.record import run_names
from tfcore.runtime.device import autocast
from tfcore.runtime.files import order_header, read_json, sha256_of
from tfcore.training.checkpoint import save_checkpoint
from tfcore.training.seeds import step_generator

sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks are no part of the package
from benchmarks.baseline import baseline_batch, baseline_network, baseline_perlin, baseline_reverse, baseline_ssim

SETTINGS = TrainingSettings.model_validate(
    settings_of(model={"width": 16, "groups": 8, "multipliers": [1, 2, 2], "attention_levels": 2}, data={"crop": 16})
)


def inputs(batch=3, size=16):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 3, size, size, generator=generator) * 2 - 1
    mask = (torch.rand(batch, 1, size, size, generator=generator) > 0.5).float()
    return image, mask, torch.tensor([1, 3, 4])[:batch]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_one_forward_pass_agrees_with_the_baseline(layout):
    network = new_network(SETTINGS, 1).eval().to(memory_format=layout)
    baseline = baseline_network(network)
    assert sum("BaselineAttention" in type(module).__name__ for module in baseline.modules()) == 7
    with torch.no_grad():
        for optimised, expected in zip(network(*inputs()), baseline(*inputs()), strict=True):
            assert torch.allclose(optimised, expected, atol=1e-5, rtol=0)


def test_bfloat16_stays_within_two_hundredths():
    network = new_network(SETTINGS, 1).eval()
    with torch.no_grad():
        exact = network(*inputs())
        with autocast("bfloat16", torch.device("cpu")):
            short = network(*inputs())
    assert any(head.dtype == torch.bfloat16 for head in short)
    for optimised, expected in zip(short, exact, strict=True):
        assert (optimised.float() - expected).abs().max() < 2e-2 * max(1.0, float(expected.abs().max()))


def test_similarity_agrees_with_the_baseline():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(2, 3, 24, 20, generator=generator) * 2 - 1 for _ in range(2))
    mixed = 0.7 * first + 0.3 * second
    assert 0.3 < float(baseline_ssim(mixed, first)) < 0.95
    assert torch.allclose(unit_ssim(mixed, first), baseline_ssim(mixed, first), atol=1e-5)


def test_perlin_noise_agrees_with_the_baseline():
    rng = np.random.default_rng(0)
    angles = rng.uniform(0, 2 * np.pi, (6, 33, 33))
    cells = [(1, 1), (2, 32), (32, 32), (4, 8), (1, 16), (8, 2)]
    optimised = perlin_noise(torch.tensor(angles).float(), torch.tensor(cells).float(), 48, 40)
    expected = np.stack([baseline_perlin(a, c, 48, 40) for a, c in zip(angles, cells, strict=True)])
    assert np.abs(optimised.numpy() - expected).max() < 1e-5


def test_inference_in_batches_agrees_with_one_image_at_a_time(tmp_path):
    """The settings' mask is soft here: a binarised one flips whole pixels at a difference of 1e-6."""
    names = run_names(RUN, "transfusion")
    save_checkpoint(tmp_path / "m.safetensors", new_network(SETTINGS, 1).state_dict(), names, SETTINGS.model_dump())
    model = Loaded.read(tmp_path / "m.safetensors", CPU, {"infer": {"precision": "float32"}}).model
    images = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    optimised = model.reverse(images)
    expected = baseline_reverse(baseline_network(model.network), to_input(images), SETTINGS)
    same = (optimised.last > 0.5) == (expected.last > 0.5)
    assert same.float().mean() > 0.99
    assert (optimised.disc - expected.disc).abs().median() < 1e-5 and (optimised.x0 - expected.x0).abs().median() < 1e-5
    assert model.maps(images)["recon"].shape == (3, 16, 16)


def test_batches_have_the_statistics_of_the_baseline():
    images = torch.randint(0, 256, (64, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    foregrounds = torch.ones(64, 16, 16, dtype=torch.uint8)
    textures = torch.randint(0, 256, (5, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))

    def of(batch: Batch) -> tuple[float, float, float]:
        anomalous = batch.mask.flatten(1).any(dim=1)
        dropped = ~batch.previous_mask.flatten(1).any(dim=1) & anomalous
        return float(anomalous.float().mean()), float(batch.mask.mean()), float(dropped.sum() / anomalous.sum())

    optimised = [of(make_batch(images, foregrounds, textures, SETTINGS, step_generator(0, i))) for i in range(8)]
    arrays = [list(a.numpy()) for a in (images, foregrounds)]
    expected = [of(baseline_batch(arrays[0], arrays[1], textures.numpy(), SETTINGS, i)) for i in range(8)]
    assert np.allclose(np.mean(optimised, axis=0), np.mean(expected, axis=0), atol=[0.05, 0.03, 0.12])


def test_both_ways_leave_the_same_images_normal():
    images = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    foregrounds, arrays = torch.ones(3, 16, 16, dtype=torch.uint8), list(images.numpy())
    still = SETTINGS.model_copy(update={"anomalies": SETTINGS.anomalies.model_copy(update={"rotation_degrees": 0.0})})
    optimised = [make_batch(images, foregrounds, images, still, step_generator(0, i)) for i in range(8)]
    expected = [baseline_batch(arrays, list(foregrounds.numpy()), images.numpy(), still, i) for i in range(8)]
    for batches in (optimised, expected):  # half of three is one
        assert [any(batch.mask[place].any() for batch in batches) for place in range(3)] == [True, False, False]


def test_training_in_bfloat16_learns_the_same(tmp_path):
    packed, textures = make_packed(tmp_path)
    totals = {}
    for precision in ("float32", "bfloat16"):
        settings = settings_of(train={"epochs": 6, "precision": precision})
        train(RUN, settings, packed, textures, tmp_path / precision, tmp_path / "work", CPU)
        totals[precision] = float((tmp_path / precision / "log.csv").read_text().splitlines()[-1].split(",")[6])
    assert totals["bfloat16"] == pytest.approx(totals["float32"], rel=0.03)
    assert totals["bfloat16"] != totals["float32"]


@pytest.fixture(scope="module")
def stained(tmp_path_factory):
    """A packed category with 100 test images, half of them with a faint stain, and a network that was trained on it."""
    base = tmp_path_factory.mktemp("stained")
    packed, textures = make_packed(base)
    rng = np.random.default_rng(1)
    images = rng.integers(90, 110, (TRAIN + 100, 16, 16, 3), dtype=np.uint8)
    masks = np.zeros((100, 16, 16), np.uint8)
    for number in range(50, 100):
        row, column = rng.integers(3, 10, 2)  # within the crop
        masks[number, row : row + 3, column : column + 3] = 1
        images[TRAIN + number][masks[number] == 1] += np.uint8(8 + 6 * (number % 10))
    np.save(packed / "images.npy", images)
    for rule in ("nearest", "antialiased"):
        np.save(packed / f"masks_{rule}.npy", masks)
    kinds = ["good"] * (TRAIN + 50) + ["stain"] * 50
    index = {"file": range(len(images)), "split": ["train"] * TRAIN + ["test"] * 100}
    pd.DataFrame(index | {"label": [int(k != "good") for k in kinds], "defect": kinds}).to_csv(
        packed / "index.csv", index=False
    )
    about = read_json(packed / "pack.json") | {"counts": {"train": TRAIN, "good": 50, "anomalous": 50}}
    (packed / "pack.json").write_text(json.dumps(about))
    settings = settings_of(train={"epochs": 20, "learning_rate": 3e-3, "precision": "float32"})
    train(RUN, settings, packed, textures, base / "model", base / "work", CPU)
    return packed, base / "model/model.safetensors", base


def test_scores_of_a_trained_network_hardly_move_in_bfloat16(stained):
    packed, checkpoint, base = stained
    found = {}
    for precision in ("float32", "bfloat16"):
        settings = settings_of("infer", infer={"precision": precision})
        infer(checkpoint, packed, base / precision, settings, CPU)
        maps = MapsFile(base / precision / "maps.safetensors")
        final = final_maps(maps["disc"], maps["recon"], 0.95, 3)
        found[precision] = np.array([image_auroc(maximum(final), maps.labels), aupro(final, maps.masks("nearest"))])
        found[f"maps {precision}"] = final
    assert found["float32"].min() > 0.6 and found["float32"][0] < 0.999  # learnt, with room to move
    assert not np.array_equal(found["maps float32"], found["maps bfloat16"])
    assert np.abs(found["float32"] - found["bfloat16"]).max() < 0.005


def test_equal_tensors_and_metadata_give_equal_files(tmp_path):
    from safetensors.torch import load_file, save_file

    metadata = {name: name for name in "abcdefgh"} | {"quote": 'é "\\'}
    for i in range(4):
        save_file({"x": torch.arange(5.0)}, tmp_path / f"{i}", metadata=metadata)
        order_header(tmp_path / f"{i}")
    assert len({sha256_of(tmp_path / f"{i}") for i in range(4)}) == 1
    assert torch.equal(load_file(tmp_path / "0")["x"], torch.arange(5.0))
