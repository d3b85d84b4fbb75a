import csv
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import CPU, RUN, make_packed, settings_of

from tfcore.methods.cpu_guard import check_training
from tfcore.methods.infer import infer
from tfcore.methods.registry import METHODS
from tfcore.methods.train import train
from tfcore.methods.transfusion.diffusion import reverse_process
from tfcore.methods.transfusion.released import (
    checked_state,
    convert_release,
    infer_model,
    original,
    read_state,
    release_settings,
    rename,
)
from tfcore.methods.transfusion.settings import ModelSettings, TrainingSettings
from tfcore.methods.transfusion.unet import UNet
from tfcore.metrics.maps import MapsFile
from tfcore.runs.record import run_names
from tfcore.runtime.errors import SettingsError, UserError
from tfcore.runtime.files import read_json, sha256_of
from tfcore.training.checkpoint import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests/golden/tiny_release_fixture.safetensors"
KEYS = ROOT / "../shared/release_format/state_dict_keys.csv"


@pytest.fixture(scope="module")
def fixture() -> dict[str, torch.Tensor]:
    return load_file(FIXTURE)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    path = convert_release(FIXTURE, tmp_path_factory.mktemp("released"), "visa", "capsules")
    return load_checkpoint(path)


@pytest.fixture(scope="module")
def network(converted):
    network = UNet(TrainingSettings.model_validate(converted.settings).model)
    network.load_state_dict(converted.state)
    return network.eval()


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return read_state(FIXTURE)


@torch.no_grad()
def test_heads_of_the_authors_network(network, fixture):
    heads = network(fixture["input_image"], fixture["input_mask"], fixture["timesteps"])
    for name, found in heads._asdict().items():
        # Logits reach ±16, where float32 itself is off by 1e-5: compare relative to that, and as probabilities.
        scale = max(1.0, fixture[name].abs().max().item())
        assert (found - fixture[name]).abs().max() < 1e-5 * scale, name
    assert (heads.mask_logits.sigmoid() - fixture["mask_logits"].sigmoid()).abs().max() < 1e-5


def test_loop_of_the_authors_code(converted, network, fixture):
    diffusion = TrainingSettings.model_validate(converted.settings).diffusion
    result = reverse_process(network, fixture["loop_input"][None], diffusion)
    assert (result.x0 - fixture["loop_x0"]).abs().max() < 1e-5
    assert (result.disc - fixture["loop_mask_mean"]).abs().max() < 1e-5


def test_loop_does_not_depend_on_the_batch(converted, network, fixture):
    diffusion = TrainingSettings.model_validate(converted.settings).diffusion
    images = torch.stack([fixture["loop_input"].flip(2), fixture["loop_input"]])
    assert (reverse_process(network, images, diffusion).x0[1] - fixture["loop_x0"][0]).abs().max() < 1e-5


def test_checkpoint_has_the_release_settings(converted):
    settings, run = converted.settings, converted.run
    assert settings["protocol"] == "release"
    assert settings["diffusion"]["beta_grid"] == "linspace"
    assert settings["data"] == {"resize": 256, "crop": 256}
    assert {"dataset": "visa", "category": "capsules", "variant": "released", "seed": 3}.items() <= run.items()


def test_record_names_the_source(tmp_path):
    convert_release(FIXTURE, tmp_path)
    record = (tmp_path / "run.json").read_text()
    assert "source_sha256" in record
    assert json.loads(record)["model_sha256"] == sha256_of(tmp_path / "model.safetensors")  # as training names it
    assert str(FIXTURE.parent) not in record


def test_pickled_state_dicts_are_read(tmp_path, state):
    path = tmp_path / "capsules_model.pkl"
    torch.save(state, path)
    convert_release(path, tmp_path / "out")
    assert load_checkpoint(tmp_path / "out/model.safetensors").settings["model"]["multipliers"] == [1, 2]


class Surprise:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": Surprise()}, r"not a state dict that can be .*holds more than tensors \(print\)"),
        (torch.nn.Linear(1, 1), r".*holds more than tensors \(torch\.nn\.modules\.linear\.Linear\)"),
        ([1, 2], "holds no mapping"),
        ({"epoch": 3}, "holds no mapping"),
    ],
)
def test_pickles_with_anything_else_are_refused(tmp_path, capsys, content, message):
    path = tmp_path / "x_model.pkl"
    torch.save(content, path)
    with pytest.raises(UserError, match=rf"x_model\.pkl: {message}"):
        convert_release(path, tmp_path)
    assert "executed" not in capsys.readouterr().out


def test_broken_files_are_refused(tmp_path, capfd, recwarn):
    for name in ("x_model.pkl", "x.safetensors"):
        path = tmp_path / name
        with pytest.raises(UserError, match="no such file"):
            convert_release(path, tmp_path)
        for content, reason in (
            (b"", "it is empty"),
            (b"hello\n", "damaged"),
            (b"not a checkpoint", "damaged"),
            (np.random.default_rng(0).bytes(3000), "damaged"),
            (pickle.dumps({"a": 1}), "damaged"),
            (pickle.dumps({"a": np.zeros(3)}), "damaged|numpy"),
        ):
            path.write_bytes(content)
            with pytest.raises(UserError, match=rf"not a state dict that can be loaded safely.*({reason})") as caught:
                convert_release(path, tmp_path)
            assert "\n" not in str(caught.value) and "weights_only" not in str(caught.value)
    assert not capfd.readouterr().err and not recwarn.list


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(0, 5, 3, 3), r"is empty \(shape 0x5x3x3\)"),
        (torch.full((1,), float("nan")), "has values that are NaN or infinite"),
        (torch.full((1,), float("inf")), "has values that are NaN or infinite"),
    ],
)
def test_tensors_that_are_no_weights_are_named(tmp_path, state, value, message):
    key = "model.image_proj.weight"
    assert re.search(f"x_model.pkl: key '{key}' {message}", refusal(tmp_path, state | {key: value}))


def test_size_that_the_network_cannot_take_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"these steps and size: .*33×33 are not divisible by 2"):
        convert_release(FIXTURE, tmp_path / "out", size=33)
    assert not (tmp_path / "out").exists()


def refusal(tmp_path, state) -> str:
    path = tmp_path / "x_model.pkl"
    torch.save(state, path)
    with pytest.raises(UserError) as caught:
        convert_release(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    return str(caught.value)


def test_every_missing_key_is_named(state):
    every = [name for name in state if "inv_freq" not in name]
    assert len(every) > 100
    path = Path("x_model.pkl")
    for name in every:
        rest = {key: value for key, value in state.items() if key != name}
        with pytest.raises(UserError, match=r"^x_model\.pkl: key '([\w.]+)' is missing$") as caught:
            checked_state(path, rest, UNet(infer_model(path, rest)))
        assert str(caught.value).split("'")[1] == name


@pytest.mark.parametrize("name", ["model.middle.extra.weight", "optimiser.step", "model.down.0.res.conv3.weight"])
def test_surplus_key_is_named(tmp_path, state, name):
    assert f"key '{name}' is surplus" in refusal(tmp_path, state | {name: torch.zeros(2)})


@pytest.mark.parametrize("name", ["model.final.weight", "model.middle.attn.output.bias", "model.up.2.conv.weight"])
def test_misshapen_key_is_named(tmp_path, state, name):
    message = refusal(tmp_path, state | {name: torch.zeros(5, 2)})
    assert f"key '{name}' has shape 5x2, expected " in message


def test_impossible_width_is_refused(tmp_path, state):
    message = refusal(tmp_path, state | {"model.image_proj.weight": torch.zeros(33, 5, 3, 3)})
    assert "x_model.pkl: not the released architecture: model.width: 33" in message


def test_names_translate_both_ways():
    with torch.device("meta"):
        names = UNet(ModelSettings(positional_encoding="row")).state_dict()
    assert all(rename(original(name)) == name for name in names)
    assert len({original(name) for name in names}) == len(names)


@pytest.mark.skipif(not KEYS.exists(), reason="needs the authors' list of keys (shared/release_format)")
def test_names_and_shapes_are_the_authors():
    with KEYS.open() as file:
        listed = {row["key"]: row["shape"] for row in csv.DictReader(file) if "inv_freq" not in row["key"]}
    with torch.device("meta"):
        network = UNet(ModelSettings(positional_encoding="row")).state_dict()
    ours = {original(name): "x".join(map(str, value.shape)) or "scalar" for name, value in network.items()}
    assert ours == listed
    state = {
        key: torch.empty([int(n) for n in shape.split("x")] if shape != "scalar" else [], device="meta")
        for key, shape in listed.items()
    }
    assert infer_model(Path("x"), state) == ModelSettings(positional_encoding="row")


@pytest.fixture
def released(tmp_path, state):
    """Return packed data, and a function that takes the authors' weights of the toy in place of a training."""
    packed, textures = make_packed(tmp_path)
    folder = tmp_path / "released"

    def take(*names):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            torch.save(state, folder / name)
        settings = settings_of(train={"released": True}, protocol="release")
        out, hardware = tmp_path / "out", CPU.model_copy(update={"released_weights": str(folder)})
        train(RUN, settings, packed, textures, out, tmp_path / "work", hardware)
        return out

    return packed, take


def test_released_weights_stand_in_the_place_of_a_training(released, state, tmp_path):
    packed, take = released
    out = take("disc_model.pkl")
    checkpoint, record = load_checkpoint(out / "model.safetensors"), read_json(out / "run.json")
    assert all(torch.equal(checkpoint.state[rename(name)], value) for name, value in state.items() if "inv" not in name)
    assert checkpoint.run == run_names(RUN, "transfusion")
    assert checkpoint.settings["model"] == infer_model(Path("x"), state).model_dump()  # the shape of their network
    assert checkpoint.settings["diffusion"] == record["settings"]["diffusion"]
    assert record["source_sha256"] == sha256_of(tmp_path / "released/disc_model.pkl")
    assert record["model_sha256"] == sha256_of(out / "model.safetensors")
    assert (out / "log.csv").exists() and not (tmp_path / "work").exists()
    infer(out / "model.safetensors", packed, tmp_path / "maps", settings_of("infer"), CPU)
    assert MapsFile(tmp_path / "maps/maps.safetensors")["disc"].max() > 0


def test_released_weights_of_a_dataset_come_first(released, state, tmp_path):
    state["model.image_proj.bias"] += 1
    source = tmp_path / "released/disc_model.pkl"
    source.parent.mkdir()
    torch.save(state, source)
    state["model.image_proj.bias"] += 1
    out = released[1]("toy/disc_model.pkl")
    assert read_json(out / "run.json")["source_sha256"] == sha256_of(tmp_path / "released/toy/disc_model.pkl")


def test_released_weights_that_are_missing_are_one_line(released, tmp_path):
    message = f"{tmp_path}/released has neither toy/disc_model.pkl nor disc_model.pkl"
    with pytest.raises(UserError, match=f"^hardware.released_weights: {re.escape(message)}$"):
        released[1]()
    assert not (tmp_path / "out").exists()


def test_released_weights_take_no_training(tmp_path):
    trained = settings_of(train={"epochs": 1500}, data={"resize": 256, "crop": 256})
    taken = trained | {"train": trained["train"] | {"released": True}}
    method = METHODS["transfusion"]
    assert method.operations(trained).training > 0 == method.operations(taken).training
    assert method.operations(trained).inference == method.operations(taken).inference
    check_training(taken, 10**6)
    with pytest.raises(UserError, match="no GPU found"):
        check_training(trained, 10**6)
    tables = {"checkpoint_epochs": [1]}
    with pytest.raises(SettingsError, match="epoch 1 is not within 1 … 0, the epochs of the baseline 'full'"):
        settings_of(train={"released": True}, tables=tables)


def test_release_settings_take_other_timesteps_and_sizes():
    settings = TrainingSettings.model_validate(release_settings(ModelSettings(), 50, 128))
    assert settings.crop == settings.data.resize == 128
    assert settings.diffusion.steps == 50
    assert settings.diffusion.anomaly_target == "scaled_epsilon"
