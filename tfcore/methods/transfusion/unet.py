"""The network with three heads: mask, anomaly appearance and normal appearance (Section 3.3, Fig. 3)."""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tfcore.methods.transfusion.diffusion import Heads, resolved
from tfcore.methods.transfusion.settings import HEAD_GROUPS, ModelSettings, check_size, check_widths
from tfcore.runtime.errors import UserError

ENCODING_CHANNELS = {"none": 0, "row": 1, "sinusoidal": 8}


def sinusoidal_encoding(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Return the 2D sinusoidal encoding (8, H, W): per axis sin and cos of the pixel index at two frequencies."""
    count = ENCODING_CHANNELS["sinusoidal"] // 4
    frequencies = 10_000.0 ** (
        -torch.arange(count, device=device) / count
    )  # 1 and 0.01 radians per pixel: wavelengths of 6 and 628 pixels
    rows = torch.arange(height, device=device)[:, None] * frequencies
    columns = torch.arange(width, device=device)[:, None] * frequencies
    waves_y = torch.cat((rows.sin(), rows.cos()), dim=1).T[:, :, None].expand(-1, height, width)
    waves_x = torch.cat((columns.sin(), columns.cos()), dim=1).T[:, None, :].expand(-1, height, width)
    return torch.cat((waves_y, waves_x))


def row_encoding(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Return the released encoding (1, H, W): the sine of the row index in pixels."""
    return torch.arange(height, device=device).sin()[None, :, None].expand(1, height, width)


class TimeEmbedding(nn.Module):
    """Sine and cosine of t at geometric frequencies, then linear-SiLU-linear; (B,) to (B, 4·width)."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        frequencies = torch.exp(-math.log(10_000) * torch.arange(half) / max(half - 1, 1))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.linear1 = nn.Linear(2 * half, 4 * width)
        self.linear2 = nn.Linear(4 * width, 4 * width)

    def forward(self, t: Tensor) -> Tensor:
        """Embed timesteps."""
        angles = t[:, None].float() * self.frequencies
        waves = torch.cat((angles.sin(), angles.cos()), dim=1)
        return cast(Tensor, self.linear2(F.silu(self.linear1(waves))))


class ResidualBlock(nn.Module):
    """GroupNorm-SiLU-3×3 twice, the time embedding added between, a 1×1 shortcut where widths differ."""

    def __init__(self, channels: int, out_channels: int, time_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.time = nn.Linear(time_channels, out_channels)
        self.norm2 = nn.GroupNorm(groups, out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out_channels, 1) if channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Transform features (B, C, H, W) given the time embedding."""
        h = self.conv1(F.silu(self.norm1(x))) + self.time(time)[:, :, None, None]
        return cast(Tensor, self.conv2(F.silu(self.norm2(h))) + self.shortcut(x))


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return scaled-dot-product attention of tensors (B, 1, positions, C).

    The CPU's memory-saving kernel recomputes the weights in its backward pass and rounds them differently: with large
    logits, as they come without a normalisation before the attention, its gradients are NaN. Training on a CPU
    therefore keeps the matrix of weights. Logits are float32, as inside the kernels: bfloat16 has 8 bits for them.
    """
    if query.device.type == "cpu" and query.requires_grad:
        with torch.autocast("cpu", enabled=False):
            logits = (query.float() / math.sqrt(query.shape[-1])) @ key.float().transpose(-2, -1)
            return logits.softmax(dim=-1).to(value.dtype) @ value
    return F.scaled_dot_product_attention(query, key, value)


class Attention(nn.Module):
    """Single-head self-attention over positions with a residual connection and no normalisation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, 3 * channels)
        self.output = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over all positions of x (B, C, H, W)."""
        batch, channels, height, width = x.shape
        tokens = x.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        query, key, value = self.projection(tokens)[:, None].chunk(3, dim=-1)  # one head
        mixed = attend(query, key, value)[:, 0]
        out = tokens + self.output(mixed)
        return cast(Tensor, out.view(batch, height, width, channels).permute(0, 3, 1, 2))


class Block(nn.Module):
    """A residual block, followed by attention at the lowest resolutions."""

    def __init__(self, channels: int, out_channels: int, time_channels: int, groups: int, attention: bool) -> None:
        super().__init__()
        self.residual = ResidualBlock(channels, out_channels, time_channels, groups)
        self.attention = Attention(out_channels) if attention else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Transform features (B, C, H, W) given the time embedding."""
        return cast(Tensor, self.attention(self.residual(x, time)))


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, channels: int, time_channels: int, groups: int) -> None:
        super().__init__()
        self.residual1 = ResidualBlock(channels, channels, time_channels, groups)
        self.attention = Attention(channels)
        self.residual2 = ResidualBlock(channels, channels, time_channels, groups)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Transform features (B, C, H, W) given the time embedding."""
        return cast(Tensor, self.residual2(self.attention(self.residual1(x, time)), time))


class MaskHead(nn.Module):
    """BatchNorm-SiLU-3×3 to one channel of logits."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return mask logits (B, 1, H, W)."""
        return cast(Tensor, self.conv(F.silu(self.norm(x))))


class UNet(nn.Module):
    """U-Net over (image, previous mask, positional encoding) with three heads; 54.56 M parameters by default.

    Raises `SettingsError` when a width does not divide into the groups of its normalisation.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.encoding = resolved(settings.positional_encoding, "model.positional_encoding")
        check_widths(settings)
        self.levels = len(settings.multipliers)
        self._encodings: dict[tuple[int, int, torch.device], Tensor] = {}
        width, time_channels, groups = settings.width, 4 * settings.width, settings.groups
        self.stem = nn.Conv2d(4 + ENCODING_CHANNELS[self.encoding], width, 3, padding=1)
        self.time = TimeEmbedding(width)

        down: list[nn.Module] = []
        channels = width
        for level, multiplier in enumerate(settings.multipliers):
            attention = level >= self.levels - settings.attention_levels
            out_channels = channels * multiplier
            for _ in range(settings.blocks):
                down.append(Block(channels, out_channels, time_channels, groups, attention))
                channels = out_channels
            if level < self.levels - 1:
                down.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
        self.down = nn.ModuleList(down)
        self.middle = Middle(channels, time_channels, groups)

        up: list[nn.Module] = []
        for level in reversed(range(self.levels)):
            attention = level >= self.levels - settings.attention_levels
            for _ in range(settings.blocks):
                up.append(Block(2 * channels, channels, time_channels, groups, attention))
            # The last block of a level narrows; its skip connection comes from before the level widened.
            narrow = channels // settings.multipliers[level]
            up.append(Block(channels + narrow, narrow, time_channels, groups, attention))
            channels = narrow
            if level > 0:
                up.append(nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1))
        self.up = nn.ModuleList(up)

        self.norm = nn.GroupNorm(HEAD_GROUPS, width)
        self.anomaly = nn.Conv2d(width, 3, 3, padding=1)
        self.normal = nn.Conv2d(width, 3, 3, padding=1)
        self.mask = MaskHead(width)

    def forward(self, image: Tensor, mask: Tensor, t: Tensor) -> Heads:
        """Predict from x_t (B, 3, H, W) in [-1, 1], the previous mask (B, 1, H, W) and t (B,).

        Raises `UserError` for wrong shapes or a size that the down-samplings do not divide.
        """
        self._check_shapes(image, mask, t)
        x = self.stem(self._input(image, mask))
        time = self.time(t)
        skips = [x]
        for module in self.down:
            x = module(x, time) if isinstance(module, Block) else module(x)
            skips.append(x)
        x = self.middle(x, time)
        for module in self.up:
            x = module(torch.cat((x, skips.pop()), dim=1), time) if isinstance(module, Block) else module(x)
        return Heads(self.mask(x), self.anomaly(F.silu(self.norm(x))), self.normal(x))

    def _input(self, image: Tensor, mask: Tensor) -> Tensor:
        if self.encoding == "none":
            return torch.cat((image, mask), dim=1)
        encoding = self._position(image.shape[2], image.shape[3], image.device).to(image.dtype)
        return torch.cat((image, mask, encoding.expand(image.shape[0], -1, -1, -1)), dim=1)

    def _position(self, height: int, width: int, device: torch.device) -> Tensor:
        make = sinusoidal_encoding if self.encoding == "sinusoidal" else row_encoding
        if torch.compiler.is_compiling():  # the compiler fuses it; a cache would leak traced tensors
            return make(height, width, device)
        key = (height, width, device)
        if key not in self._encodings:
            self._encodings[key] = make(height, width, device)
        return self._encodings[key]

    def _check_shapes(self, image: Tensor, mask: Tensor, t: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != 3:
            raise UserError(f"the network takes images (B, 3, H, W), found {tuple(image.shape)}")
        batch, _, height, width = image.shape
        if mask.shape != (batch, 1, height, width):
            raise UserError(f"the network takes masks {(batch, 1, height, width)}, found {tuple(mask.shape)}")
        if t.shape != (batch,):
            raise UserError(f"the network takes timesteps ({batch},), found {tuple(t.shape)}")
        check_size(height, width, self.levels)
