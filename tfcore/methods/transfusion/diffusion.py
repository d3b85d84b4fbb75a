"""The transparency diffusion process (Eqs. 1-4): schedule, forward composition, reverse step and the whole loop.

Letters are the paper's: x_t image at step t, n normal appearance, ε anomaly appearance, M mask, β_t opacity of the
anomaly. Images are (B, C, H, W) in [-1, 1], masks (B, 1, H, W) in [0, 1], timesteps t (B,) integers.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from tfcore.methods.transfusion.settings import DiffusionSettings, check_steps
from tfcore.runtime.errors import SettingsError, UserError

Schedule = Literal["linear", "root", "quadratic"]
Grid = Literal["t_over_T", "linspace"]
Target = Literal["epsilon", "scaled_epsilon"]
StepMask = Literal["soft", "binary"]
Value = TypeVar("Value")


class Heads(NamedTuple):
    """What the network predicts: mask logits (B, 1, H, W), anomaly ε̂ and normal appearance n̂ (B, 3, H, W)."""

    mask_logits: Tensor
    anomaly: Tensor
    normal: Tensor


class Reverse(NamedTuple):
    """Result of the reverse process: x_0 (B, 3, H, W), mean mask and last mask M_1 (B, 1, H, W), all float32."""

    x0: Tensor
    disc: Tensor
    last: Tensor


class Step(NamedTuple):
    """One network call of the reverse process: its input x_t and its estimates (mask in [0, 1])."""

    t: int
    x_t: Tensor
    mask: Tensor
    anomaly: Tensor
    normal: Tensor


Network = Callable[[Tensor, Tensor, Tensor], Heads]


def betas(steps: int, schedule: Schedule, grid: Grid = "t_over_T", dtype: torch.dtype = torch.float64) -> Tensor:
    """Return β by timestep, from β_0 = 0 to 1.

    ``t_over_T`` has T + 1 values, β_T = 1. ``linspace`` has T values as released, β_{T-1} = 1. The schedules are
    u, √u and u² of the position u in [0, 1] (Section 4.3 of the paper compares them).
    """
    last = _last_timestep(steps, grid)
    u = torch.arange(last + 1, dtype=torch.float64) / last
    curves = {"linear": u, "root": u.sqrt(), "quadratic": u.square()}
    return curves[schedule].to(dtype)


def resolved(value: Value | None, key: str) -> Value:
    """Return a setting that follows the protocol, or raise `SettingsError` if nobody has filled it in."""
    if value is None:
        raise SettingsError(f"{key}: follows the protocol and is not resolved; use tfcore.settings.variants.resolve")
    return value


def beta_table(settings: DiffusionSettings, device: torch.device | str = "cpu") -> Tensor:
    """Return `betas` of the settings as float32 on ``device``."""
    grid: Grid = resolved(settings.beta_grid, "diffusion.beta_grid")
    return betas(settings.steps, settings.schedule, grid, torch.float32).to(device, non_blocking=True)


def _last_timestep(steps: int, grid: Grid) -> int:
    return steps if grid == "t_over_T" else steps - 1


def at(table: Tensor, t: Tensor) -> Tensor:
    """Look a per-timestep table up at t (B,), shaped (B, 1, 1, 1)."""
    return table[t].view(-1, 1, 1, 1)


def compose(normal: Tensor, anomaly: Tensor, mask: Tensor, beta: Tensor) -> Tensor:
    """Compose x_t = (1 - M)·n + β_t·M·ε + (1 - β_t)·M·n (Eq. 2; Eq. 1 at β_t = β); ``beta`` is (B,)."""
    beta = beta.view(-1, 1, 1, 1)
    return (1 - mask) * normal + beta * (mask * anomaly) + (1 - beta) * (mask * normal)


def reverse_step(
    x: Tensor, t: Tensor, mask: Tensor, anomaly: Tensor, normal: Tensor, betas: Tensor, target: Target = "epsilon"
) -> Tensor:
    """Return x_{t-1} = x_t - Δβ·M·ε + Δβ·M·n with Δβ = β_t - β_{t-1} (Eq. 4), for t ≥ 1.

    With ``scaled_epsilon`` the argument ``anomaly`` is β_t·ε, as the released network predicts it.
    """
    beta = at(betas, t)
    delta = beta - at(betas, t - 1)
    share = delta / beta if target == "scaled_epsilon" else delta
    return x - share * (mask * anomaly) + delta * (mask * normal)


def training_timesteps(settings: DiffusionSettings) -> tuple[int, int]:
    """Return the lowest and highest t (inclusive) that training draws from."""
    return 1, _last_timestep(settings.steps, resolved(settings.beta_grid, "diffusion.beta_grid"))


def call_timesteps(settings: DiffusionSettings) -> list[int]:
    """Return the timesteps of the reverse loop in order: T…1, or T-2…1 as released."""
    if resolved(settings.beta_grid, "diffusion.beta_grid") == "t_over_T":
        return list(range(settings.steps, 0, -1))
    check_steps(settings.steps, settings.beta_grid)
    return list(range(settings.steps - 2, 0, -1))


def mask_divisor(settings: DiffusionSettings) -> int:
    """Return what the sum of masks is divided by: T, or T - 1 as released (one more than its calls)."""
    return training_timesteps(settings)[1]


def step_mask(probability: Tensor, kind: StepMask) -> Tensor:
    """Return the mask that takes part in the reverse step: as estimated, or binarised at 0.5 as released."""
    return (probability > 0.5).to(probability.dtype) if kind == "binary" else probability


@torch.no_grad()
def reverse_process(
    network: Network, image: Tensor, settings: DiffusionSettings, trace: list[Step] | None = None
) -> Reverse:
    """Run the reverse process from ``image`` (B, 3, H, W) in [-1, 1] as x_T and an empty mask (Section 3.2).

    The network sees its own previous mask, binarised at 0.5. Everything stays on the device of ``image``. ``trace``
    receives every step. Raises `UserError` for a wrong shape, `ValueError` for a network in training mode.
    """
    if image.ndim != 4 or image.shape[1] != 3 or not image.is_floating_point():
        raise UserError(f"images must be a float tensor (B, 3, H, W), found {image.dtype} {tuple(image.shape)}")
    if getattr(network, "training", False):
        raise ValueError("the network is in training mode; call network.eval() first")
    target: Target = resolved(settings.anomaly_target, "diffusion.anomaly_target")
    mask_kind: StepMask = resolved(settings.step_mask, "diffusion.step_mask")
    table = beta_table(settings, image.device)
    x = image.float()
    previous = x.new_zeros(x.shape[0], 1, *x.shape[2:])
    total, probability = torch.zeros_like(previous), previous
    for step in call_timesteps(settings):
        t = torch.full((x.shape[0],), step, device=x.device)
        heads = network(x, previous, t)
        probability = heads.mask_logits.float().sigmoid()
        anomaly, normal = heads.anomaly.float(), heads.normal.float()
        if trace is not None:
            trace.append(Step(step, x, probability, anomaly, normal))
        mask = step_mask(probability, mask_kind)
        x = reverse_step(x, t, mask, anomaly, normal, table, target)
        total += probability
        previous = step_mask(probability, "binary")
    return Reverse(x, total / mask_divisor(settings), probability)
