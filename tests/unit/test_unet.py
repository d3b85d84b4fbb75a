import pytest
import torch
from method_settings import TINY

from tfcore.methods.transfusion.operations import count_parameters
from tfcore.methods.transfusion.settings import ModelSettings
from tfcore.methods.transfusion.unet import UNet, attend, row_encoding, sinusoidal_encoding
from tfcore.runtime.errors import SettingsError, UserError

ENCODINGS = ("sinusoidal", "row", "none")


def network(**changes) -> UNet:
    torch.manual_seed(0)
    return UNet(TINY.model_copy(update={"positional_encoding": "sinusoidal"} | changes)).eval()


def inputs(batch: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(batch, 3, height, width, generator=generator) * 2 - 1
    mask = (torch.rand(batch, 1, height, width, generator=generator) < 0.3).float()
    return image, mask, torch.arange(1, batch + 1)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_default_network_has_54_56_million_parameters(encoding):
    with torch.device("meta"):
        assert round(count_parameters(UNet(ModelSettings(positional_encoding=encoding))) / 1e6, 2) == 54.56


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
def test_heads_have_the_input_size(encoding, size):
    heads = network(positional_encoding=encoding)(*inputs(2, *size))
    assert heads.mask_logits.shape == (2, 1, *size)
    assert heads.anomaly.shape == heads.normal.shape == (2, 3, *size)
    assert all(head.isfinite().all() for head in heads)


@pytest.mark.parametrize(
    "changes",
    [
        {"multipliers": [1]},
        {"multipliers": [1, 2, 1, 3], "blocks": 2, "attention_levels": 3},
        {"width": 16, "groups": 4, "attention_levels": 0},
    ],
)
def test_any_width_and_depth_works(changes):
    heads = network(**changes)(*inputs(1, 16, 24))
    assert heads.normal.shape == (1, 3, 16, 24)


def test_samples_do_not_depend_on_their_batch():
    model, (image, mask, t) = network(), inputs(3, 8, 8)
    together = model(image, mask, t)
    alone = model(image[1:2], mask[1:2], t[1:2])
    for both, one in zip(together, alone, strict=True):
        assert torch.allclose(both[1:2], one, atol=1e-5)


def test_every_input_matters():
    model, (image, mask, t) = network(), inputs(1, 8, 8)
    reference = model(image, mask, t).normal
    assert not torch.allclose(model(image, 1 - mask, t).normal, reference)
    assert not torch.allclose(model(image, mask, t + 5).normal, reference)
    assert not torch.allclose(model(image.flip(2), mask, t).normal.flip(2), reference)


def test_every_parameter_learns():
    model = network().train()
    heads = model(*inputs(2, 8, 8))
    sum(head.square().sum() for head in heads).backward()
    assert [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()] == []


def test_channels_last_and_bfloat16_agree_with_the_plain_pass():
    model, (image, mask, t) = network(), inputs(2, 16, 16)
    plain = model(image, mask, t)
    last = model.to(memory_format=torch.channels_last)(image.contiguous(memory_format=torch.channels_last), mask, t)
    for one, other in zip(plain, last, strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(image, mask, t)
    assert rough.normal.dtype == torch.bfloat16
    assert (rough.normal.float() - plain.normal).abs().max() < 0.05


@pytest.mark.parametrize("encoding", ["sinusoidal", "row"])
def test_the_compiler_takes_the_network_whole(encoding):
    model, given = network(positional_encoding=encoding), inputs(2, 8, 12)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    for one, other in zip(model(*given), compiled(*given), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_sinusoidal_encoding_is_two_dimensional():
    encoding = sinusoidal_encoding(6, 10)
    assert encoding.shape == (8, 6, 10)
    assert torch.allclose(encoding[0], torch.arange(6.0).sin()[:, None].expand(6, 10))
    assert torch.allclose(encoding[7], (torch.arange(10.0) / 100).cos().expand(6, 10))
    positions = encoding.flatten(1).T
    assert torch.cdist(positions, positions).fill_diagonal_(1).min() > 1e-3  # no two positions alike


def test_row_encoding_is_the_sine_of_the_row():
    assert torch.equal(row_encoding(5, 3)[0], torch.arange(5).sin()[:, None].expand(5, 3))


def test_constants_are_not_in_the_checkpoint():
    assert not [name for name in network().state_dict() if "encoding" in name or "frequencies" in name]
    assert "mask.norm.running_mean" in network().state_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 24, "groups": 32}, r"model\.width: 24 is not divisible by model\.groups = 32"),
        ({"width": 12, "groups": 4}, r"model\.width: 12 is not divisible by the 8 groups"),
        ({"attention_levels": 3}, r"model\.attention_levels: 3"),
        ({"multipliers": [1, 0]}, r"model\.multipliers"),
        ({"positional_encoding": None}, "not resolved"),
    ],
)
def test_impossible_networks_are_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        network(**changes)


@pytest.mark.parametrize(
    ("image", "mask", "t", "message"),
    [
        ((1, 3, 9, 8), (1, 1, 9, 8), (1,), r"data\.crop: images of 9×8 are not divisible by 2"),
        ((1, 1, 8, 8), (1, 1, 8, 8), (1,), "images"),
        ((3, 8, 8), (1, 8, 8), (1,), "images"),
        ((2, 3, 8, 8), (1, 1, 8, 8), (2,), "masks"),
        ((2, 3, 8, 8), (2, 3, 8, 8), (2,), "masks"),
        ((2, 3, 8, 8), (2, 1, 8, 8), (1,), "timesteps"),
    ],
)
def test_wrong_shapes_are_refused(image, mask, t, message):
    with pytest.raises(UserError, match=message):
        network()(torch.zeros(image), torch.zeros(mask), torch.ones(t, dtype=torch.long))


def test_attention_with_large_logits_has_the_gradients_of_double_precision():
    generator = torch.Generator().manual_seed(0)
    tokens = 3e4 * torch.randn(1, 1, 64, 8, generator=generator)
    gradients = {}
    for dtype in (torch.float32, torch.float64):
        query, key, value = (tokens.to(dtype).roll(shift, 2).requires_grad_() for shift in range(3))
        attend(query, key, value).square().mean().backward()
        gradients[dtype] = torch.stack([query.grad, key.grad, value.grad]).double()
    assert torch.isfinite(gradients[torch.float32]).all()
    torch.testing.assert_close(gradients[torch.float32][2], gradients[torch.float64][2], rtol=1e-4, atol=1e-2)


def test_attention_in_bfloat16_does_not_round_its_logits():
    generator = torch.Generator().manual_seed(0)
    query, key, value = (4 * torch.randn(1, 3, 64, 32, generator=generator)).bfloat16().split(1, dim=1)
    exact = attend(query.double(), key.double(), value.double())  # of the same rounded numbers
    with torch.autocast("cpu", dtype=torch.bfloat16):
        training, inference = attend(query.clone().requires_grad_(), key, value), attend(query, key, value)
    assert training.dtype == inference.dtype == torch.bfloat16
    for found in (training, inference):
        assert (found.double() - exact).abs().max() < 1e-2 * exact.abs().max()  # rounded: 4e-2
