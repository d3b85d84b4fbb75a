"""Inference: the reverse process on images, and the maps that it leaves (Section 3.4)."""

from collections.abc import Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor

from tfcore.methods.base import Model
from tfcore.methods.transfusion.diffusion import Reverse, Step, reverse_process
from tfcore.methods.transfusion.settings import InferSettings, TrainingSettings
from tfcore.methods.transfusion.unet import UNet
from tfcore.runtime.device import autocast, reproducible, to_device
from tfcore.settings.sections import HardwareSettings
from tfcore.training.checkpoint import Checkpoint


class TransFusionModel(Model):
    """A trained network on a device; network and process are the checkpoint's."""

    def __init__(
        self, checkpoint: Checkpoint, infer: Mapping[str, Any], hardware: HardwareSettings, device: torch.device
    ) -> None:
        self.settings = TrainingSettings.model_validate(checkpoint.settings)
        network = UNet(self.settings.model)
        network.load_state_dict(checkpoint.state)
        self.network = to_device(network, device).eval()
        self.precision = InferSettings.model_validate(infer.get("infer", {})).precision
        self.deterministic, self.device = hardware.deterministic, device
        self.diffusion = self.settings.diffusion
        self.steps = self.diffusion.steps

    def with_steps(self, steps: int) -> "TransFusionModel":
        """Return the same network with another number of timesteps T."""
        other = copy(self)
        other.diffusion, other.steps = self.diffusion.model_copy(update={"steps": steps}), steps
        return other

    def reverse(self, images: Tensor, trace: list[Step] | None = None) -> Reverse:
        """Run the reverse process on a batch uint8 (B, H, W, 3) on the device; ``trace`` receives every step."""
        with (
            torch.inference_mode(),
            autocast(self.precision, self.device),
            reproducible(self.deterministic, self.device),
        ):
            return reverse_process(self.network, to_input(images), self.diffusion, trace)

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Return ``disc``, ``recon`` and ``last`` float32 (B, H, W), and ``reconstruction`` uint8 (B, H, W, 3).

        M_recon is the squared error in [0, 1], mean over channels.
        """
        result = self.reverse(images)
        reconstruction = ((result.x0.float() + 1) / 2).clamp(0, 1).permute(0, 2, 3, 1)
        return {
            "disc": result.disc[:, 0].float(),
            "recon": (reconstruction - images / 255).square().mean(dim=-1),
            "last": result.last[:, 0].float(),
            "reconstruction": (255 * reconstruction).round().to(torch.uint8),
        }


def to_input(images: Tensor) -> Tensor:
    """Turn uint8 (B, H, W, 3) into the network's input (B, 3, H, W) in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1
