import math

import numpy as np
import pytest
import torch
from method_settings import training_settings
from skimage.metrics import structural_similarity

from tfcore.methods.transfusion.batch import Batch
from tfcore.methods.transfusion.diffusion import Heads, at, beta_table, compose
from tfcore.methods.transfusion.losses import (
    focal_loss,
    guessed_ssim,
    mask_loss,
    normal_loss,
    training_losses,
    unit_ssim,
)
from tfcore.methods.transfusion.settings import LossSettings
from tfcore.runtime.errors import SettingsError, UserError

PARTS = ("mask", "anomaly", "normal", "consistency")


def images(count: int = 2, size: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(count, 3, size, size, generator=generator) * 2 - 1 for _ in range(2))
    return first, second


def batch_and_perfect_heads(settings) -> tuple[Batch, Heads]:
    normal, anomaly = images()
    mask = (normal[:, :1] > 0.3).float()
    anomaly = anomaly * mask
    table, t = beta_table(settings.diffusion), torch.tensor([4, 11])
    batch = Batch(normal, anomaly, mask, mask, t, compose(normal, anomaly, mask, table[t]), table)
    scaled = settings.diffusion.anomaly_target == "scaled_epsilon"
    return batch, Heads(mask * 60 - 30, at(table, t) * anomaly if scaled else anomaly, normal)


@pytest.mark.parametrize("protocol", ["paper", "release"])
def test_perfect_heads_have_no_loss(protocol):
    settings = training_settings(protocol)
    batch, heads = batch_and_perfect_heads(settings)
    losses = training_losses(heads, batch, settings)
    for name in (*PARTS, "total"):
        assert abs(losses[name].item()) < 1e-5, name


@pytest.mark.parametrize("protocol", ["paper", "release"])
def test_total_is_the_weighted_sum(protocol):
    weights = dict(zip(PARTS, (2.0, 3.0, 5.0, 7.0), strict=True))
    settings = training_settings(protocol, losses=weights)
    batch, heads = batch_and_perfect_heads(settings)
    losses = training_losses(Heads(*(head + 0.1 for head in heads)), batch, settings)
    expected = sum(weights[name] * losses[name].item() for name in PARTS)
    assert losses["total"].item() == pytest.approx(expected, rel=1e-5)
    assert all(losses[name] > 0 for name in ("anomaly", "normal", "consistency"))


@pytest.mark.parametrize("off", PARTS)
def test_a_loss_with_weight_0_is_not_computed(off, monkeypatch):
    def forbidden(*_):
        raise AssertionError(f"{off} was computed")

    monkeypatch.setattr(f"tfcore.methods.transfusion.losses.{off}_loss", forbidden)
    settings = training_settings(losses={off: 0.0})
    batch, heads = batch_and_perfect_heads(settings)
    losses = training_losses(Heads(*(head + 0.1 for head in heads)), batch, settings)
    assert losses[off].item() == 0
    assert losses["total"].item() == pytest.approx(sum(losses[name].item() for name in PARTS), rel=1e-6)


def test_all_weights_0_is_refused():
    settings = training_settings(losses=dict.fromkeys(PARTS, 0.0))
    batch, heads = batch_and_perfect_heads(settings)
    with pytest.raises(SettingsError, match="losses: every weight is 0"):
        training_losses(heads, batch, settings)


@pytest.mark.parametrize(("protocol", "learns"), [("paper", True), ("release", False)])
def test_consistency_reaches_the_mask_head_only_with_a_soft_mask(protocol, learns):
    only = dict.fromkeys(PARTS, 0.0) | {"consistency": 1.0}
    settings = training_settings(protocol, losses=only)
    batch, heads = batch_and_perfect_heads(settings)
    heads = Heads(*((head * 0.1 + 0.05).requires_grad_() for head in heads))
    training_losses(heads, batch, settings)["total"].backward()
    assert heads.anomaly.grad.any()
    assert heads.normal.grad.any()
    assert (heads.mask_logits.grad is not None and heads.mask_logits.grad.any().item()) is learns


def test_anomaly_target_follows_the_protocol():
    for protocol in ("paper", "release"):
        settings = training_settings(protocol)
        batch, _ = batch_and_perfect_heads(settings)
        zero = Heads(torch.zeros_like(batch.mask), torch.zeros_like(batch.normal), batch.normal)
        target = batch.anomaly * (at(batch.betas, batch.t) if protocol == "release" else 1)
        assert training_losses(zero, batch, settings)["anomaly"] == pytest.approx(target.square().mean().item())


def test_focal_loss_by_hand():
    logits, target = torch.tensor([0.0, 2.0, -1.0]), torch.tensor([1.0, 1.0, 0.0])
    expected = 0.0
    for z, y in zip(logits.tolist(), target.tolist(), strict=True):
        p = 1 / (1 + math.exp(-z))
        p_t, alpha_t = (p, 0.25) if y else (1 - p, 0.75)
        expected -= alpha_t * (1 - p_t) ** 2 * math.log(p_t) / 3
    assert focal_loss(logits, target, 0.25, 2.0).item() == pytest.approx(expected, rel=1e-6)
    half = mask_loss(torch.zeros(1), torch.ones(1), LossSettings()).item()
    assert half == pytest.approx(5 * 0.25 * 0.25 * math.log(2) + 0.125, rel=1e-6)


def test_unit_ssim_is_the_standard_one():
    first, second = images(1, 24)
    arrays = [((value[0] + 1) / 2).permute(1, 2, 0).double().numpy() for value in (first, second)]
    _, full = structural_similarity(
        *arrays, channel_axis=2, data_range=1.0, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    assert unit_ssim(first, second).item() == pytest.approx(np.mean(full[5:-5, 5:-5]), abs=1e-5)


def test_guessed_range_rewards_the_negative_and_unit_range_does_not():
    normal = images(1, 32)[0] * 0.9
    zero = torch.zeros_like(normal)
    released, paper = LossSettings(ssim_range="guessed"), LossSettings(ssim_range="unit")
    assert guessed_ssim(normal, normal).item() == pytest.approx(1, abs=1e-5)
    smooth = torch.linspace(-0.9, 0.9, 32).expand(1, 3, 32, 32)
    assert guessed_ssim(-smooth, smooth) > guessed_ssim(zero, smooth)
    assert unit_ssim(-smooth, smooth) < unit_ssim(smooth, smooth)
    assert normal_loss(normal, normal, released).item() == pytest.approx(0, abs=1e-5)
    assert normal_loss(normal, normal, paper).item() == pytest.approx(0, abs=1e-5)


def test_guessed_range_follows_the_prediction():
    target = images(1, 16)[1]
    above = (target * 0.4).clamp(-0.4, 0.4)
    below = above.clone()
    below[0, 0, 0, 0] = -0.6  # one pixel doubles the range of the whole batch
    assert (guessed_ssim(below, target) - guessed_ssim(above, target)).abs() > 1e-3


def test_losses_are_float32_under_autocast():
    settings = training_settings()
    batch, heads = batch_and_perfect_heads(settings)
    rough = Heads(*(head.bfloat16() for head in heads))
    plain = training_losses(rough, batch, settings)["total"]
    with torch.autocast("cpu", torch.bfloat16):
        inside = training_losses(rough, batch, settings)["total"]
    assert inside.dtype == torch.float32
    assert torch.equal(plain, inside)


def test_images_smaller_than_the_window_are_refused():
    small = torch.zeros(1, 3, 8, 8)
    with pytest.raises(UserError, match=r"data\.crop: SSIM needs images of at least 11 pixels, found 8×8"):
        unit_ssim(small, small)
