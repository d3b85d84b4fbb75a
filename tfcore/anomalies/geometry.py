"""Rotation of image batches about their centre."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def rotate(images: Tensor, degrees: Tensor, mode: Literal["nearest", "bilinear"]) -> Tensor:
    """Rotate images (B, C, H, W) by degrees (B,) within their frame; what comes from outside is 0."""
    height, width = images.shape[2:]
    radians = degrees.to(images.device, non_blocking=True).view(-1, 1, 1) * (math.pi / 180)
    cos, sin = radians.cos(), radians.sin()
    # In units of half the height and half the width; the ratio of the two keeps right angles right.
    y, x = (((2 * torch.arange(n, device=images.device) + 1) / n - 1) for n in (height, width))
    columns = x * cos - y[:, None] * (sin * height / width)
    rows = x * (sin * width / height) + y[:, None] * cos
    grid = torch.stack((columns, rows), dim=-1)
    return F.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)
