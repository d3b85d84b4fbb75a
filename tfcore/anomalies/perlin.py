"""Perlin noise for a whole batch, each sample with its own resolution, as two small matrix products."""

import math

import torch
from torch import Tensor


def perlin_noise(angles: Tensor, cells: Tensor, height: int, width: int) -> Tensor:
    """Return gradient noise (B, H, W), about in [-1, 1].

    ``angles`` (B, G, G) are the directions of the lattice gradients in radians, ``cells`` (B, 2) the number of lattice
    cells along rows and columns; G exceeds every number of cells.
    """
    nodes = angles.shape[-1]
    # Noise is Σ over the four corners of fade weights times gradient·offset. Weights separate by axis, so the sum is
    # rows · gradients · columns, once for the vertical and once for the horizontal part of the offset.
    weight_y, offset_y = _axis(cells[:, 0], height, nodes)
    weight_x, offset_x = _axis(cells[:, 1], width, nodes)
    vertical = offset_y @ angles.cos() @ weight_x.mT
    horizontal = weight_y @ angles.sin() @ offset_x.mT
    return math.sqrt(2) * (vertical + horizontal)


def _axis(cells: Tensor, size: int, nodes: int) -> tuple[Tensor, Tensor]:
    """Return per pixel and lattice node (B, size, nodes) the fade weight, and the weight times the offset."""
    pixel = torch.arange(size, device=cells.device)
    position = pixel * (cells[:, None] / size)
    node = torch.arange(nodes, device=cells.device)
    offset = position[:, :, None] - node
    distance = offset.abs().clamp(max=1)
    weight = 1 - distance**3 * (distance * (distance * 6 - 15) + 10)  # 1 at the node, 0 at its neighbours
    return weight, weight * offset


def random_perlin(
    batch: int, exponents: tuple[int, int], height: int, width: int, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Draw noise (B, H, W) with 2^low … 2^high cells per axis; the draws are made where the generator lives."""
    low, high = exponents
    source = generator.device
    cells = torch.randint(low, high + 1, (batch, 2), generator=generator, device=source)
    angles = 2 * math.pi * torch.rand(batch, 2**high + 1, 2**high + 1, generator=generator, device=source)
    drawn = angles.to(device, non_blocking=True), (2.0**cells).to(device, non_blocking=True)
    return perlin_noise(*drawn, height, width)
