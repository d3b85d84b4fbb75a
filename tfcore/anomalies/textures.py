"""Sources of anomaly appearance: foreign textures, or the image itself, augmented and shuffled (as in MemSeg).

Images are float (B, 3, H, W) in [0, 255] here. Every operation draws its own parameters, one per image, where the
generator lives; an operation is applied to the images that drew it and to no others.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from tfcore.anomalies.geometry import rotate

Operation = Callable[[Tensor, torch.Generator], Tensor]


def uniform(images: Tensor, low: float, high: float, generator: torch.Generator, per: int = 1) -> Tensor:
    """Draw one number per image, or one per channel with ``per`` = 3, shaped (B, per, 1, 1)."""
    drawn = torch.rand(len(images), per, 1, 1, generator=generator, device=generator.device)
    return (low + (high - low) * drawn).to(images.device, non_blocking=True)


def gamma_contrast(images: Tensor, generator: torch.Generator) -> Tensor:
    """Raise each channel to its own power in [0.5, 2]."""
    return 255 * (images / 255) ** uniform(images, 0.5, 2.0, generator, per=3)


def brightness(images: Tensor, generator: torch.Generator) -> Tensor:
    """Multiply the luminance by [0.8, 1.2] and add [-30, 30]."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1).to(images.device, non_blocking=True)
    light = (images * weights).sum(dim=1, keepdim=True)  # ITU-R BT.601
    changed = light * uniform(images, 0.8, 1.2, generator) + uniform(images, -30, 30, generator)
    return (images + changed - light).clamp(0, 255)


def sharpness(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blend with a smoothed copy: factor 0 is smooth, 1 the image, 2 sharpened; drawn from [0.1, 1.9]."""
    kernel = (torch.tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13).to(images.device, non_blocking=True)
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    smooth = F.conv2d(padded, kernel.expand(3, 1, 3, 3), groups=3)
    return (smooth + uniform(images, 0.1, 1.9, generator) * (images - smooth)).clamp(0, 255)


def hue_saturation(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift the hue of the HSV colour by up to ±50/255 of the circle and add up to ±50/255 to the saturation."""
    hue, saturation = (uniform(images, -50 / 255, 50 / 255, generator)[:, 0] for _ in range(2))
    high, low = images.amax(dim=1), images.amin(dim=1)
    chroma = high - low
    red, green, blue = images.unbind(dim=1)
    safe = chroma.clamp(min=1e-6)
    other = torch.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    sector = torch.where(high == red, (green - blue) / safe, other)
    new_hue = (sector / 6 + hue) % 1
    new_chroma = high * ((chroma / high.clamp(min=1e-6)) + saturation).clamp(0, 1)
    # The channel at offset k is V - C·max(0, min(h, 4 - h, 1)) with h = (k + 6·hue) mod 6.
    places = ((offset + 6 * new_hue) % 6 for offset in (5, 3, 1))
    return torch.stack([high - new_chroma * torch.minimum(h, 4 - h).clamp(0, 1) for h in places], dim=1)


def solarize(images: Tensor, generator: torch.Generator) -> Tensor:
    """Invert the values above a threshold in [32, 128], in half of the images."""
    threshold = uniform(images, 32, 128, generator)
    chosen = uniform(images, 0, 1, generator) < 0.5
    return torch.where(chosen & (images >= threshold), 255 - images, images)


def posterize(images: Tensor, generator: torch.Generator) -> Tensor:
    """Keep the highest 1 to 8 bits."""
    bits = uniform(images, 1, 9, generator).floor().clamp(max=8)
    step = 2 ** (8 - bits)
    return (images / step).floor() * step


def invert(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return the photographic negative."""
    return 255 - images


def levels(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values as whole levels 0 … 255 (B, 3, H·W), and how many pixels are at or below each (B, 3, 256).

    Counted as on bytes, as the operations on the histogram are defined: that needs no sorting.
    """
    values = images.flatten(2).round().long()
    counts = values.new_zeros(*values.shape[:2], 256).scatter_add_(2, values, torch.ones_like(values))
    return values, counts.cumsum(dim=2)


def autocontrast(images: Tensor, generator: torch.Generator) -> Tensor:
    """Stretch each channel to the full range after cutting 0 to 20 % of the pixels at both ends."""
    values, below = levels(images)
    last = values.shape[2] - 1
    cut = (uniform(images, 0, 0.2, generator)[:, :, 0] * last).long()
    # The level of the pixel at place k of the sorted ones is the first with more than k pixels at or below it.
    low, high = ((below <= place).sum(dim=2)[..., None, None] for place in (cut, last - cut))
    stretched = (images - low) * (255 / (high - low).clamp(min=1))
    return torch.where(high > low, stretched.clamp(0, 255), images)


def equalize(images: Tensor, generator: torch.Generator) -> Tensor:
    """Spread each channel's histogram evenly."""
    values, below = levels(images)
    return (below * (255 / values.shape[2])).gather(2, values).view_as(images)


def turn(images: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by up to ±45°, black outside."""
    return rotate(images, uniform(images, -45, 45, generator).flatten(), "bilinear")


OPERATIONS: tuple[Operation, ...] = (
    gamma_contrast,
    brightness,
    sharpness,
    hue_saturation,
    solarize,
    posterize,
    invert,
    autocontrast,
    equalize,
    turn,
)


def augment(images: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Apply ``count`` different operations to each image, in random order."""
    keys = torch.rand(len(images), len(OPERATIONS), generator=generator, device=generator.device)
    order = keys.argsort(dim=1)[:, :count].tolist()  # a CPU generator makes this free of waiting for the device
    for place in range(count):
        for number, operation in enumerate(OPERATIONS):
            members = [i for i, chosen in enumerate(order) if chosen[place] == number]
            if members:
                index = torch.tensor(members).to(images.device, non_blocking=True)
                # Rounding leaves the range by 1e-6 here and there, and a power of a negative number is NaN.
                images = images.index_copy(0, index, operation(images[index], generator).clamp(0, 255))
    return images


def shuffle_tiles(images: Tensor, tiles: int, generator: torch.Generator) -> Tensor:
    """Cut each image into tiles × tiles parts and shuffle them; a side that does not divide is resized to fit."""
    batch, channels, height, width = images.shape
    high, wide = -(-height // tiles), -(-width // tiles)
    fitted = images
    if (high * tiles, wide * tiles) != (height, width):
        fitted = F.interpolate(images, (high * tiles, wide * tiles), mode="bilinear")
    keys = torch.rand(batch, tiles * tiles, generator=generator, device=generator.device)
    order = keys.argsort(dim=1).to(images.device, non_blocking=True)
    parts = fitted.reshape(batch, channels, tiles, high, tiles, wide).permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    shuffled = parts[torch.arange(batch, device=images.device)[:, None], order]
    shuffled = shuffled.view(batch, tiles, tiles, channels, high, wide).permute(0, 3, 1, 4, 2, 5)
    return shuffled.reshape(batch, channels, high * tiles, wide * tiles)[:, :, :height, :width]
