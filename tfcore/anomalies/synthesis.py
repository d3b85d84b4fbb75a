"""What is pasted into normal images and where it may lie: shared by every method that trains on synthetic anomalies."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tfcore.anomalies.textures import augment, shuffle_tiles
from tfcore.runtime.device import take


def anomalous_images(batch: int, fraction: float) -> int:
    """Return how many images of a batch get an anomaly: the share rounded down, but at least one if it is not 0."""
    return max(1, int(batch * fraction)) if fraction else 0


def anomaly_source(
    images: Tensor, textures: Tensor, texture_fraction: float, operations: int, tiles: int, generator: torch.Generator
) -> Tensor:
    """Return what is pasted into images (B, 3, H, W) in [0, 255]: augmented textures or shuffled tiles, in [-1, 1].

    ``texture_fraction`` is the share of textures, ``operations`` are applied to each source, ``tiles`` × ``tiles``
    pieces of the image itself are shuffled. ``textures`` uint8 (K, S, S, 3) may live on another device.
    """
    source, device = generator.device, images.device
    textured = torch.rand(len(images), generator=generator, device=source) < texture_fraction
    chosen = torch.randint(len(textures), (len(images),), generator=generator, device=source)
    foreign, own = (kind.nonzero().flatten() for kind in (textured, ~textured))  # draws are on the CPU: no waiting
    mixed = images.clone()
    if len(foreign):
        taken = take(textures, chosen[foreign], device).permute(0, 3, 1, 2).float()
        if taken.shape[2:] != images.shape[2:]:
            taken = F.interpolate(taken, images.shape[2:], mode="bilinear", antialias=True)
        mixed[foreign.to(device, non_blocking=True)] = taken
    pasted = augment(mixed, operations, generator)
    if len(own):
        own = own.to(device, non_blocking=True)
        pasted[own] = shuffle_tiles(pasted[own], tiles, generator)
    return pasted / 127.5 - 1


def dilated(foregrounds: Tensor, side: int) -> Tensor:
    """Return foregrounds (B, H, W) in {0, 1} grown by a square of ``side`` pixels, float32 (B, 1, H, W)."""
    padded = F.pad(foregrounds[:, None].float(), (side // 2, (side - 1) // 2) * 2)
    return padded.unfold(2, side, 1).amax(-1).unfold(3, side, 1).amax(-1)


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw ``count`` numbers in [low, high) where the generator lives."""
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)
