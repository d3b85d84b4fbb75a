"""Numbers of the method, pinned, so that nobody changes them without noticing.

When they change on purpose: raise ``TRAIN_VERSION`` in ``tfcore/methods/transfusion/settings.py`` and, if the reverse
process or the network changed, ``INFER_VERSION``; then run ``python tests/golden/test_golden.py``, which writes the new
values. They were computed with float32 on a CPU; other CPUs and versions of PyTorch differ in the last digits,
hence the tolerance.
"""

import json
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from tfcore.methods.registry import parse_settings
from tfcore.methods.transfusion.batch import Batch, make_batch
from tfcore.methods.transfusion.diffusion import reverse_process
from tfcore.methods.transfusion.losses import training_losses
from tfcore.methods.transfusion.settings import INFER_VERSION, TRAIN_VERSION, TrainingSettings
from tfcore.methods.transfusion.unet import UNet
from tfcore.runs.stages import stage_settings

FILE = Path(__file__).with_name("method.json")
PROTOCOLS = ("paper", "release")
VERSIONS = [TRAIN_VERSION, INFER_VERSION]
SIZE = 32


def settings(protocol: str) -> TrainingSettings:
    """Return the protocol's settings with a small network."""
    values = {
        "protocol": protocol,
        "run": {"datasets": ["any"]},
        "datasets": {"any": {"title": "Any", "layout": "mvtec", "categories": ["thing"]}},
        "textures": {},
        "model": {"width": 16, "multipliers": [1, 2, 2], "blocks": 1, "attention_levels": 2, "groups": 8},
    }
    return TrainingSettings.model_validate(stage_settings(parse_settings(values, "golden"), "train"))


def wave(*shape: int, speed: float = 0.7) -> torch.Tensor:
    """Return numbers in [-1, 1] that need no random generator."""
    count = int(torch.tensor(shape).prod())
    return (torch.arange(count, dtype=torch.float64) * speed).sin().float().view(shape)


def network(protocol: str) -> UNet:
    """Return a network whose weights need no random generator."""
    model = UNet(settings(protocol).model).eval()
    with torch.no_grad():
        for number, value in enumerate(model.parameters()):
            fan_in = max(value[0].numel(), 1) if value.ndim > 1 else 1
            spread = fan_in**-0.5 if value.ndim > 1 else 0.1
            value.copy_((1.0 if value.ndim == 1 and number % 2 == 0 else 0.0) + spread * wave(*value.shape, speed=1.3))
        model.mask.conv.weight *= 60  # hardly a mask value near the threshold, where rounding decides
    return model


def batch(protocol: str) -> Batch:
    """Return a batch of eight at a fixed seed."""
    pixels = ((wave(8, SIZE, SIZE, 3, speed=0.013) + 1) * 127).to(torch.uint8)
    textures = ((wave(3, SIZE, SIZE, 3, speed=0.21) + 1) * 127).to(torch.uint8)
    foregrounds = torch.ones(8, SIZE, SIZE, dtype=torch.uint8)
    foregrounds[:, :6] = 0
    return make_batch(pixels, foregrounds, textures, settings(protocol), torch.Generator().manual_seed(53))


def summary(value: torch.Tensor) -> list[float]:
    """Return mean, standard deviation and a weighted mean that notices every moved pixel."""
    flat = value.detach().double().flatten()
    weights = (torch.arange(len(flat)) * 0.37).cos()
    return [round(number.item(), 9) for number in (flat.mean(), flat.std(), (flat * weights).mean() * 100)]


@torch.no_grad()
def compute(protocol: str) -> dict[str, list[float]]:
    """Return every pinned number."""
    chosen, model, made = settings(protocol), network(protocol), batch(protocol)
    heads = model(made.x_t, made.previous_mask, made.t)
    found = {f"batch.{field.name}": summary(getattr(made, field.name).float()) for field in fields(made)}
    found |= {f"heads.{name}": summary(value) for name, value in heads._asdict().items()}
    found |= {
        f"losses.{name}": [round(value.item(), 9)] for name, value in training_losses(heads, made, chosen).items()
    }
    reverse = reverse_process(model, made.normal[:2], chosen.diffusion)
    return found | {f"reverse.{name}": summary(value) for name, value in reverse._asdict().items()}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_of_the_method(protocol):
    pinned = json.loads(FILE.read_text())
    assert pinned["recipe"] == VERSIONS, "run this file to pin the numbers of the new version"
    found = compute(protocol)
    assert found.keys() == pinned[protocol].keys()
    for name, expected in pinned[protocol].items():
        assert found[name] == pytest.approx(expected, rel=2e-4, abs=2e-5), (
            f"{protocol} {name} changed: if on purpose, raise TRAIN_VERSION and run {Path(__file__).name}"
        )


if __name__ == "__main__":
    values = {"recipe": VERSIONS} | {name: compute(name) for name in PROTOCOLS}
    FILE.write_text(json.dumps(values, indent=1) + "\n")
