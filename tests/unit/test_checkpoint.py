import json

import pytest
import torch
from method_settings import training_settings
from safetensors import safe_open
from safetensors.torch import save_file

from tfcore.methods.transfusion.unet import UNet
from tfcore.runtime.errors import UserError
from tfcore.training.checkpoint import load_checkpoint, save_checkpoint

RUN = {"method": "transfusion", "dataset": "visa", "category": "capsules", "variant": "full", "seed": 0}


@pytest.fixture
def saved(tmp_path):
    settings = training_settings()
    torch.manual_seed(0)
    network = UNet(settings.model)
    network.mask.norm.running_mean += 0.5
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, network.state_dict(), RUN, settings.model_dump(mode="json", by_alias=True))
    return path, network


def test_weights_buffers_settings_and_run_come_back(saved):
    path, network = saved
    loaded = load_checkpoint(path)
    assert loaded.path == path
    assert loaded.run == RUN
    assert loaded.settings == training_settings().model_dump(mode="json", by_alias=True)
    assert loaded.state.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state[name], value), name


def test_floating_tensors_are_kept_as_float32_and_others_as_they_are(tmp_path):
    path = tmp_path / "model.safetensors"
    state = {"half": torch.tensor([0.5, 2.0], dtype=torch.bfloat16), "double": torch.ones(2, dtype=torch.float64)}
    save_checkpoint(
        path, state | {"count": torch.tensor(2**40), "bytes": torch.tensor([255], dtype=torch.uint8)}, {}, {}
    )
    loaded = load_checkpoint(path).state
    assert loaded["half"].dtype == loaded["double"].dtype == torch.float32
    assert loaded["half"].tolist() == [0.5, 2.0]
    assert loaded["count"].item() == 2**40 and loaded["bytes"].dtype == torch.uint8


def test_same_network_same_bytes(saved, tmp_path):
    path, network = saved
    save_checkpoint(tmp_path / "again.safetensors", network.state_dict(), RUN, load_checkpoint(path).settings)
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_channels_last_networks_are_saved_plainly(saved, tmp_path):
    path, network = saved
    fast = network.to(memory_format=torch.channels_last)
    save_checkpoint(tmp_path / "fast.safetensors", fast.state_dict(), RUN, load_checkpoint(path).settings)
    assert path.read_bytes() == (tmp_path / "fast.safetensors").read_bytes()


def test_any_flipped_byte_is_refused(saved):
    path, _ = saved
    content = path.read_bytes()
    header = int.from_bytes(content[:8], "little")
    settings = content.index(b'\\"steps\\":')  # a digit of T, inside the header
    for place in (0, 9, settings + len(b'\\"steps\\": '), 8 + header, 8 + header + 4001, len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"model\.safetensors: ") as caught:
            load_checkpoint(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_truncated_files_are_refused(saved, size):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=r"model\.safetensors: damaged"):
        load_checkpoint(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.safetensors: no such checkpoint"):
        load_checkpoint(tmp_path / "nothing.safetensors")


def test_other_formats_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(UserError, match="not a tfcore-1 checkpoint"):
        load_checkpoint(path)


def test_header_says_what_it_is(saved):
    path, _ = saved
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    assert header.keys() == {"format", "run", "settings", "weights_sha256"}
    assert header["format"] == "tfcore-1"
    assert json.loads(header["run"]) == RUN
