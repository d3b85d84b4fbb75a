"""One training batch: normal images, synthetic anomalies, simulated previous masks and the composed x_t (Section 3.2).

Random numbers are small (angles, indices, thresholds) and drawn where the generator lives. With a CPU generator, which
is what training uses, a step has the same batch on every device and nothing waits for the device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tfcore.anomalies.geometry import rotate
from tfcore.anomalies.perlin import random_perlin
from tfcore.anomalies.synthesis import anomalous_images, anomaly_source, dilated, uniform
from tfcore.methods.transfusion.diffusion import beta_table, compose, resolved, training_timesteps
from tfcore.methods.transfusion.settings import AnomalySettings, TrainingSettings
from tfcore.runtime.errors import UserError


@dataclass(frozen=True)
class Batch:
    """What a training step needs, on one device; images (B, 3, H, W) in [-1, 1], masks (B, 1, H, W) in {0, 1}.

    ``anomaly`` is ε, zero outside the mask. ``betas`` is the table of β by timestep.
    """

    normal: Tensor
    anomaly: Tensor
    mask: Tensor
    previous_mask: Tensor
    t: Tensor
    x_t: Tensor
    betas: Tensor


def make_batch(
    images: Tensor, foregrounds: Tensor, textures: Tensor, settings: TrainingSettings, generator: torch.Generator
) -> Batch:
    """Make a batch from images uint8 (B, H, W, 3), foregrounds uint8 (B, H, W) in {0, 1}, textures uint8 (K, S, S, 3).

    Images come cropped, in random order: the first share of them (`anomalies.fraction`, at least one image) gets an
    anomaly. ``textures`` may live on another device than the images. Raises `UserError` for wrong shapes.
    """
    _check(images, foregrounds, textures)
    options, device = settings.anomalies, images.device
    batch, height, width = images.shape[:3]
    low, high = training_timesteps(settings.diffusion)
    t = torch.randint(low, high + 1, (batch,), generator=generator, device=generator.device)
    t = t.to(device, non_blocking=True)  # a copy that blocks would wait for the whole step before
    pixels = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    normal = pixels / 127.5 - 1
    anomaly = torch.zeros_like(normal)
    mask, previous = normal.new_zeros(batch, 1, height, width), normal.new_zeros(batch, 1, height, width)

    count = anomalous_images(batch, options.fraction)
    if count:
        noise = random_perlin(count, options.perlin_exponents, height, width, generator, device)[:, None]
        noise = rotate(noise, uniform(count, -90, 90, generator), "bilinear")
        allowed = _allowed(foregrounds[:count], options)
        mask[:count] = (noise.abs() > options.threshold) * allowed
        previous[:count] = previous_masks(noise, options, generator) * allowed
        source = anomaly_source(
            pixels[:count], textures, options.texture_fraction, options.operations, options.tiles, generator
        )
        kept = uniform(count, *options.transparency, generator).to(device, non_blocking=True).view(-1, 1, 1, 1)
        anomaly[:count] = mask[:count] * (kept * normal[:count] + (1 - kept) * source)
    if resolved(options.previous_mask, "anomalies.previous_mask") == "noise_threshold":
        previous = previous * (t != high).view(-1, 1, 1, 1)  # the reverse process starts from an empty mask

    normal, anomaly, mask, previous = _rotate_together([normal, anomaly, mask, previous], options, generator)
    betas = beta_table(settings.diffusion, device)
    return Batch(normal, anomaly, mask, previous, t, compose(normal, anomaly, mask, betas[t]), betas)


def previous_masks(noise: Tensor, options: AnomalySettings, generator: torch.Generator) -> Tensor:
    """Simulate the imperfect estimate of the step before, from the noise (B, 1, H, W) behind the mask.

    ``perlin``: the noise thresholded again, half of them higher and half lower, then a share dropped.
    ``noise_threshold`` as released: that share gets the noise's maximum as threshold, the rest in equal parts a higher,
    the same and a lower one. The maximum does not empty a mask whose negative lobes are larger.
    """
    batch = len(noise)
    drawn = (uniform(batch, 0, 1, generator) for _ in range(2))
    kind, place = (value.to(noise.device, non_blocking=True).view(-1, 1, 1, 1) for value in drawn)
    higher = options.threshold + (1 - options.threshold) * place
    lower = options.threshold * place
    dropped = kind < options.previous_mask_dropout
    share = (kind - options.previous_mask_dropout) / max(1 - options.previous_mask_dropout, 1e-9)
    if options.previous_mask == "perlin":
        return (noise.abs() > torch.where(share < 0.5, higher, lower)) * ~dropped * 1.0
    if options.previous_mask == "noise_threshold":
        same = torch.full_like(share, options.threshold)
        threshold = torch.where(share < 1 / 3, higher, torch.where(share < 2 / 3, same, lower))
        return (noise.abs() > torch.where(dropped, noise.amax((1, 2, 3), keepdim=True), threshold)) * 1.0
    return torch.zeros_like(noise)


def _allowed(foregrounds: Tensor, options: AnomalySettings) -> Tensor:
    """Return where anomalies may lie (B, 1, H, W): the dilated foreground, or everywhere."""
    if not options.foreground:
        return torch.ones_like(foregrounds, dtype=torch.float32)[:, None]
    return dilated(foregrounds, options.foreground_dilation)


def _rotate_together(maps: list[Tensor], options: AnomalySettings, generator: torch.Generator) -> list[Tensor]:
    """Rotate a share of the samples, image, target and masks alike; nearest pixels, so that Eq. 2 stays exact."""
    batch, device = len(maps[0]), maps[0].device
    turned = (uniform(batch, 0, 1, generator) < options.rotation_probability).nonzero().flatten()
    degrees = uniform(batch, -options.rotation_degrees, options.rotation_degrees, generator)
    if not len(turned):
        return maps
    index = turned.to(device, non_blocking=True)
    rotated = rotate(torch.cat([values[index] for values in maps], dim=1), degrees[turned], "nearest")
    parts = torch.split(rotated, [values.shape[1] for values in maps], dim=1)
    return [values.index_copy(0, index, part) for values, part in zip(maps, parts, strict=True)]


def _check(images: Tensor, foregrounds: Tensor, textures: Tensor) -> None:
    for name, value, ndim in (("images", images, 4), ("foregrounds", foregrounds, 3), ("textures", textures, 4)):
        if value.ndim != ndim or value.dtype != torch.uint8 or (ndim == 4 and value.shape[-1] != 3):
            raise UserError(f"{name}: expected uint8 of {ndim} dimensions, RGB last, found {value.dtype} {value.shape}")
    if foregrounds.shape != images.shape[:3]:
        raise UserError(f"foregrounds {tuple(foregrounds.shape)} do not match images {tuple(images.shape)}")
    if len(textures) == 0:
        raise UserError("textures: none given; add images to the folder of textures.local")
