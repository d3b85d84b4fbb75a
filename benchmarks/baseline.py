"""The method written straightforwardly: what the optimised code is measured against, and the oracle of its tests.

Float32 in contiguous layout, attention by explicit matrices, anomalies one sample at a time in NumPy and Pillow, images
decoded and resized from disk whenever they are needed, inference one image at a time.
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from tfcore.anomalies.synthesis import anomalous_images
from tfcore.methods.transfusion.batch import Batch
from tfcore.methods.transfusion.diffusion import Reverse, beta_table, call_timesteps, mask_divisor, training_timesteps
from tfcore.methods.transfusion.losses import SSIM_SIGMA, SSIM_WINDOW, training_losses
from tfcore.methods.transfusion.settings import AnomalySettings, TrainingSettings
from tfcore.methods.transfusion.unet import Attention, UNet

Picture = NDArray[np.uint8]
Values = NDArray[np.float64]


class BaselineAttention(nn.Module):
    """Softmax(Q Kᵀ / √d) V with the whole matrix in memory, residual."""

    def __init__(self, optimised: Attention) -> None:
        super().__init__()
        self.projection, self.output = optimised.projection, optimised.output

    def forward(self, x: Tensor) -> Tensor:
        """Attend over all positions of x (B, C, H, W)."""
        batch, channels, height, width = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        query, key, value = self.projection(tokens).chunk(3, dim=-1)
        weights = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(channels), dim=-1)
        out = tokens + self.output(weights @ value)
        return cast(Tensor, out.transpose(1, 2).reshape(batch, channels, height, width))


def baseline_network(network: UNet) -> UNet:
    """Return a copy of a network with the attention above, float32 and contiguous."""
    copied: UNet = copy.deepcopy(network).to(dtype=torch.float32, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in list(copied.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Attention):
                setattr(module, name, BaselineAttention(child))
    return copied


def baseline_perlin(angles: Values, cells: tuple[int, int], height: int, width: int) -> Values:
    """Return gradient noise (H, W), corner by corner; ``angles`` (G, G) in radians, ``cells`` by rows and columns."""
    rows = np.arange(height) * cells[0] / height
    columns = np.arange(width) * cells[1] / width
    y, x = np.meshgrid(rows, columns, indexing="ij")
    top, left = y.astype(int), x.astype(int)
    fade_y, fade_x = (6 * u**5 - 15 * u**4 + 10 * u**3 for u in (y - top, x - left))
    noise = np.zeros((height, width))
    for down in (0, 1):
        for right in (0, 1):
            angle = angles[top + down, left + right]
            slope = np.cos(angle) * (y - top - down) + np.sin(angle) * (x - left - right)
            noise += (fade_y if down else 1 - fade_y) * (fade_x if right else 1 - fade_x) * slope
    return math.sqrt(2) * noise


def baseline_source(image: Picture, textures: Picture, options: AnomalySettings, rng: np.random.Generator) -> Values:
    """Return what is pasted into one image (H, W, 3), in [0, 255]: a texture, or its own shuffled tiles."""
    height, width = image.shape[:2]
    if rng.random() < options.texture_fraction:
        texture = Image.fromarray(textures[rng.integers(len(textures))]).resize((width, height))
        return np.asarray(baseline_operations(texture, options.operations, rng), dtype=np.float64)
    tiled = baseline_operations(Image.fromarray(image), options.operations, rng)
    count = options.tiles
    side = -(-height // count), -(-width // count)
    fitted = np.asarray(tiled.resize((side[1] * count, side[0] * count)))
    tiles = fitted.reshape(count, side[0], count, side[1], 3).swapaxes(1, 2).reshape(-1, *side, 3)
    shuffled = tiles[rng.permutation(len(tiles))].reshape(count, count, *side, 3).swapaxes(1, 2)
    return shuffled.reshape(fitted.shape)[:height, :width].astype(np.float64)


def baseline_operations(picture: Image.Image, count: int, rng: np.random.Generator) -> Image.Image:
    """Apply ``count`` of the ten photometric and geometric operations with Pillow."""
    operations = (
        lambda p: Image.fromarray((255 * (np.asarray(p) / 255) ** rng.uniform(0.5, 2, 3)).astype(np.uint8)),
        lambda p: ImageEnhance.Brightness(p).enhance(rng.uniform(0.8, 1.2)),
        lambda p: ImageEnhance.Sharpness(p).enhance(rng.uniform(0.1, 1.9)),
        lambda p: shift_hue(p, rng),
        lambda p: ImageOps.solarize(p, int(rng.integers(32, 129))) if rng.random() < 0.5 else p,
        lambda p: ImageOps.posterize(p, int(rng.integers(1, 9))),
        ImageOps.invert,
        lambda p: ImageOps.autocontrast(p, cutoff=rng.uniform(0, 20)),
        ImageOps.equalize,
        lambda p: p.rotate(rng.uniform(-45, 45), Image.Resampling.BILINEAR),
    )
    for number in rng.choice(len(operations), count, replace=False):
        picture = operations[number](picture)
    return picture


def shift_hue(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Shift hue and saturation by up to ±50 of 255."""
    colour = np.asarray(picture.convert("HSV")).astype(int)
    colour[..., 0] = (colour[..., 0] + rng.integers(-50, 51)) % 256
    colour[..., 1] = (colour[..., 1] + rng.integers(-50, 51)).clip(0, 255)
    return Image.fromarray(colour.astype(np.uint8), "HSV").convert("RGB")


def baseline_sample(
    image: Picture, foreground: Picture, textures: Picture, options: AnomalySettings, rng: np.random.Generator
) -> tuple[Values, Values, Values]:
    """Return the anomaly ε (H, W, 3) in [-1, 1], its mask and the simulated previous mask (H, W) of one image."""
    height, width = image.shape[:2]
    low, high = options.perlin_exponents
    cells = int(2 ** rng.integers(low, high + 1)), int(2 ** rng.integers(low, high + 1))
    angles = rng.uniform(0, 2 * math.pi, (2**high + 1, 2**high + 1))
    noise = baseline_perlin(angles, cells, height, width)
    noise = ndimage.rotate(noise, rng.uniform(-90, 90), reshape=False, order=1)
    allowed = ndimage.grey_dilation(foreground, options.foreground_dilation) if options.foreground else 1
    mask = (np.abs(noise) > options.threshold) * allowed
    again = rng.uniform(options.threshold, 1) if rng.random() < 0.5 else rng.uniform(0, options.threshold)
    dropped = rng.random() < options.previous_mask_dropout or options.previous_mask == "none"
    previous = np.zeros_like(noise) if dropped else (np.abs(noise) > again) * allowed
    source = baseline_source(image, textures, options, rng) / 127.5 - 1
    return mask[..., None] * source, mask.astype(np.float64), previous.astype(np.float64)


def baseline_batch(
    images: list[Picture], foregrounds: list[Picture], textures: Picture, settings: TrainingSettings, seed: int
) -> Batch:
    """Make a training batch in a loop over its samples, and put it together as float32 tensors."""
    rng = np.random.default_rng(seed)
    options, diffusion = settings.anomalies, settings.diffusion
    betas = beta_table(diffusion)
    low, high = training_timesteps(diffusion)
    samples: list[tuple[Values, ...]] = []
    timesteps: list[int] = []
    for place, (image, foreground) in enumerate(zip(images, foregrounds, strict=True)):
        normal = image / 127.5 - 1
        anomaly, mask, previous = np.zeros_like(normal), np.zeros(normal.shape[:2]), np.zeros(normal.shape[:2])
        if place < anomalous_images(len(images), options.fraction):
            anomaly, mask, previous = baseline_sample(image, foreground, textures, options, rng)
        if rng.random() < options.rotation_probability:
            angle = rng.uniform(-options.rotation_degrees, options.rotation_degrees)
            normal, anomaly, mask, previous = (
                ndimage.rotate(a, angle, reshape=False, order=0) for a in (normal, anomaly, mask, previous)
            )
        t = int(rng.integers(low, high + 1))
        beta = float(betas[t])
        x_t = (1 - mask[..., None]) * normal + mask[..., None] * (beta * anomaly + (1 - beta) * normal)
        samples.append((normal, anomaly, mask, previous, x_t))
        timesteps.append(t)
    normals, anomalies, masks, previouses, x_ts = (stack([sample[i] for sample in samples]) for i in range(5))
    return Batch(normals, anomalies, masks, previouses, torch.tensor(timesteps), x_ts, betas)


def stack(arrays: list[Values]) -> Tensor:
    """Stack (H, W) or (H, W, 3) into (B, C, H, W)."""
    stacked = torch.from_numpy(np.stack(arrays)).float()
    return stacked[:, None] if stacked.ndim == 3 else stacked.permute(0, 3, 1, 2)


def baseline_ssim(prediction: Tensor, normal: Tensor) -> Tensor:
    """Mean SSIM of images from [-1, 1] taken to [0, 1], with the whole 11×11 window in one convolution."""
    line = torch.exp(
        -(torch.arange(SSIM_WINDOW, device=normal.device) - SSIM_WINDOW // 2).square() / (2 * SSIM_SIGMA**2)
    )
    window = (line[:, None] * line / line.sum() ** 2).expand(normal.shape[1], 1, -1, -1)

    def mean(values: Tensor) -> Tensor:
        return F.conv2d(values, window, groups=values.shape[1])

    a, b = (prediction + 1) / 2, (normal + 1) / 2
    mean_a, mean_b = mean(a), mean(b)
    spread_a, spread_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    common = mean(a * b) - mean_a * mean_b
    light = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return (light * (2 * common + 0.03**2) / (spread_a + spread_b + 0.03**2)).mean()


@dataclass
class BaselineTraining:
    """Training without any shortcut: files on disk, one sample after the other, float32."""

    network: nn.Module
    files: list[Path]
    foregrounds: Picture
    textures: Picture
    settings: TrainingSettings
    device: torch.device

    def __post_init__(self) -> None:
        train = self.settings.train
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=train.learning_rate, weight_decay=train.weight_decay, foreach=False
        )

    def batch(self, number: int) -> Batch:
        """Decode, resize and crop the images of a batch and make its anomalies."""
        size = self.settings.train.batch_size
        chosen = [(number * size + i) % len(self.files) for i in range(size)]
        images = [decode(self.files[i], self.settings.data.resize, self.settings.crop) for i in chosen]
        made = baseline_batch(images, [self.foregrounds[i] for i in chosen], self.textures, self.settings, number)
        return Batch(*(getattr(made, name).to(self.device) for name in made.__dataclass_fields__))

    def step(self, number: int) -> float:
        """Train on one batch; the loss is read back in every step."""
        batch = self.batch(number)
        losses = training_losses(self.network(batch.x_t, batch.previous_mask, batch.t), batch, self.settings)
        self.optimiser.zero_grad()
        torch.autograd.backward(losses["total"])
        self.optimiser.step()
        return float(losses["total"].item())


def decode(file: Path, resize: int, crop: int) -> Picture:
    """Read, resize and centre-crop one image to uint8 (H, W, 3)."""
    picture = Image.open(file).convert("RGB").resize((resize, resize), Image.Resampling.BILINEAR)
    corner = (resize - crop) // 2
    return np.asarray(picture)[corner : corner + crop, corner : corner + crop]


def baseline_reverse(network: nn.Module, images: Tensor, settings: TrainingSettings) -> Reverse:
    """Run the reverse process one image at a time, by Eq. 4 and with the masks summed on the host."""
    diffusion = settings.diffusion
    table = beta_table(diffusion).tolist()
    results = []
    with torch.no_grad():
        for image in images:
            x, previous = image[None].float(), torch.zeros_like(image[None, :1])
            total, probability = torch.zeros(1, 1, *image.shape[1:]), previous
            for t in call_timesteps(diffusion):
                logits, anomaly, normal = network(x, previous, torch.tensor([t], device=x.device))
                probability = torch.sigmoid(logits)
                binary = (probability > 0.5).float()
                mask = binary if diffusion.step_mask == "binary" else probability
                change = table[t] - table[t - 1]
                share = change / table[t] if diffusion.anomaly_target == "scaled_epsilon" else change
                x = x - share * mask * anomaly + change * mask * normal
                total += probability.cpu()
                previous = binary
            results.append((x.cpu(), total / mask_divisor(diffusion), probability.cpu()))
    return Reverse(*(torch.cat(parts) for parts in zip(*results, strict=True)))
