"""Training losses (Eqs. 5-9), each a mean over the batch in float32."""

import torch
from pytorch_msssim import ssim
from torch import Tensor
from torch.nn import functional as F

from tfcore.methods.transfusion.batch import Batch
from tfcore.methods.transfusion.diffusion import Heads, Target, at, resolved, reverse_step, step_mask
from tfcore.methods.transfusion.settings import DiffusionSettings, LossSettings, TrainingSettings
from tfcore.runtime.errors import SettingsError, UserError

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5


def training_losses(heads: Heads, batch: Batch, settings: TrainingSettings) -> dict[str, Tensor]:
    """Return mask, anomaly, normal, consistency and their weighted sum total (Eq. 5) as scalars on the device.

    The parts are unweighted; a part with weight 0 is not computed and is 0. Raises `SettingsError` if all are 0.
    """
    losses, diffusion = settings.losses, settings.diffusion
    weights = {name: getattr(losses, name) for name in ("mask", "anomaly", "normal", "consistency")}
    if not any(weights.values()):
        raise SettingsError("losses: every weight is 0, nothing would be learnt")
    with torch.autocast(batch.normal.device.type, enabled=False):  # SSIM and focal loss need float32
        heads = Heads(*(head.float() for head in heads))
        scaled = resolved(diffusion.anomaly_target, "diffusion.anomaly_target") == "scaled_epsilon"
        target = at(batch.betas, batch.t) * batch.anomaly if scaled else batch.anomaly
        total = batch.normal.new_zeros(())
        parts = dict.fromkeys(weights, total)
        if losses.mask:
            parts["mask"] = mask_loss(heads.mask_logits, batch.mask, losses)
        if losses.anomaly:
            parts["anomaly"] = anomaly_loss(heads.anomaly, target)
        if losses.normal:
            parts["normal"] = normal_loss(heads.normal, batch.normal, losses)
        if losses.consistency:
            parts["consistency"] = consistency_loss(heads, batch, target, diffusion)
        for name, weight in weights.items():
            total = total + weight * parts[name]
    return parts | {"total": total}


def mask_loss(logits: Tensor, mask: Tensor, settings: LossSettings) -> Tensor:
    """L_m = focal_weight · focal + smooth L1 of the sigmoid mask (Eq. 6)."""
    focal = focal_loss(logits, mask, settings.focal_alpha, settings.focal_gamma)
    return settings.focal_weight * focal + F.smooth_l1_loss(logits.sigmoid(), mask)


def focal_loss(logits: Tensor, target: Tensor, alpha: float, gamma: float) -> Tensor:
    """Return the mean binary focal loss: α_t (1 - p_t)^γ times the cross entropy (Lin et al., 2017)."""
    probability = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    p_t = probability * target + (1 - probability) * (1 - target)
    alpha_t = alpha * target + (1 - alpha) * (1 - target)
    return (alpha_t * (1 - p_t) ** gamma * cross_entropy).mean()


def anomaly_loss(anomaly: Tensor, target: Tensor) -> Tensor:
    """L_a = mean squared error of the anomaly appearance (Eq. 7)."""
    return F.mse_loss(anomaly, target)


def normal_loss(prediction: Tensor, normal: Tensor, settings: LossSettings) -> Tensor:
    """L_n = SSIM loss + L1 of the normal appearance (Eq. 8)."""
    similarity = guessed_ssim if resolved(settings.ssim_range, "losses.ssim_range") == "guessed" else unit_ssim
    return 1 - similarity(prediction, normal) + F.l1_loss(prediction, normal)


def unit_ssim(prediction: Tensor, normal: Tensor) -> Tensor:
    """Mean SSIM of images taken from [-1, 1] to [0, 1], Gaussian window of 11 pixels, σ = 1.5."""
    return _ssim((prediction + 1) / 2, (normal + 1) / 2, 1.0)


def guessed_ssim(prediction: Tensor, normal: Tensor) -> Tensor:
    """Mean SSIM as released: on [-1, 1], zero padded, its range guessed from the prediction's minimum.

    The range is 2 when the minimum of the whole batch is below -0.5, else 1.
    """
    value_range = torch.where(prediction.detach().amin() < -0.5, 2.0, 1.0)
    padding = [SSIM_WINDOW // 2] * 4
    return _ssim(F.pad(prediction, padding), F.pad(normal, padding), value_range)


def _ssim(first: Tensor, second: Tensor, value_range: float | Tensor) -> Tensor:
    height, width = first.shape[2:]
    if min(height, width) < SSIM_WINDOW:
        raise UserError(f"data.crop: SSIM needs images of at least {SSIM_WINDOW} pixels, found {height}×{width}")
    position = torch.arange(SSIM_WINDOW, device=first.device) - SSIM_WINDOW // 2
    window = torch.exp(-position.square() / (2 * SSIM_SIGMA**2))  # made on the device: no copy in every step
    # All planes as channels of one image: the mean is the same, and a CPU filters them in half the time.
    first, second = first.reshape(1, -1, height, width), second.reshape(1, -1, height, width)
    window = (window / window.sum()).expand(first.shape[1], 1, 1, -1)
    result: Tensor = ssim(first, second, data_range=value_range, win=window)
    return result


def consistency_loss(heads: Heads, batch: Batch, target: Tensor, diffusion: DiffusionSettings) -> Tensor:
    """L_c = mean squared error between the x_{t-1} of the estimates and of the truth (Eq. 9).

    With a binary step mask, as released, no gradient reaches the mask head.
    """
    kind: Target = resolved(diffusion.anomaly_target, "diffusion.anomaly_target")
    mask = step_mask(heads.mask_logits.sigmoid(), resolved(diffusion.step_mask, "diffusion.step_mask"))
    estimated = reverse_step(batch.x_t, batch.t, mask, heads.anomaly, heads.normal, batch.betas, kind)
    true = reverse_step(batch.x_t, batch.t, batch.mask, target, batch.normal, batch.betas, kind)
    return F.mse_loss(estimated, true)
