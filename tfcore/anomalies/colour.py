"""Colour spaces for images (B, 3, H, W) in [0, 255]."""

import torch
from torch import Tensor


def luminance(images: Tensor) -> Tensor:
    """Return the luminance (B, 1, H, W) by the weights of ITU-R BT.601."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1).to(images.device, non_blocking=True)
    return (images * weights).sum(dim=1, keepdim=True)


def adjust_hue_saturation(images: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """Add to hue (share of the circle) and saturation (in [0, 1]) of the HSV colour; both (B, 1, 1)."""
    high, low = images.amax(dim=1), images.amin(dim=1)
    chroma = high - low
    red, green, blue = images.unbind(dim=1)
    safe = chroma.clamp(min=1e-6)
    sector = torch.where(
        high == red,
        (green - blue) / safe,
        torch.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    new_hue = (sector / 6 + hue) % 1
    new_chroma = high * ((chroma / high.clamp(min=1e-6)) + saturation).clamp(0, 1)
    # The channel at offset k is V - C·max(0, min(h, 4 - h, 1)) with h = (k + 6·hue) mod 6.
    channels = []
    for offset in (5, 3, 1):
        h = (offset + 6 * new_hue) % 6
        channels.append(high - new_chroma * torch.minimum(h, 4 - h).clamp(0, 1))
    return torch.stack(channels, dim=1)
