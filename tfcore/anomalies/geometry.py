"""Rotation of image batches about their centre."""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def rotate(images: Tensor, degrees: Tensor, mode: Literal["nearest", "bilinear"]) -> Tensor:
    """Rotate images (B, C, H, W) by degrees (B,) within their frame; what comes from outside is 0."""
    height, width = images.shape[2:]
    radians = degrees.to(images.device, non_blocking=True) * (math.pi / 180)
    cos, sin = radians.cos(), radians.sin()
    zero = torch.zeros_like(cos)
    # The grid is in units of half the height and half the width; the ratio keeps right angles right.
    rows = torch.stack((cos, -sin * height / width, zero, sin * width / height, cos, zero), dim=1)
    grid = F.affine_grid(rows.view(-1, 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)
