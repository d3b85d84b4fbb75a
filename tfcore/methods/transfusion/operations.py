"""What the network costs: operations of a forward pass, calls of the reverse process, parameters."""

import warnings
from functools import cache

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tfcore.methods.transfusion.diffusion import call_timesteps
from tfcore.methods.transfusion.settings import DiffusionSettings, ModelSettings
from tfcore.methods.transfusion.unet import UNet


def forward_operations(model: ModelSettings, size: int) -> float:
    """Count the operations (2 per multiply-add) of one forward pass of one ``size`` × ``size`` image; computes none."""
    return _forward_operations(model.model_dump_json(), size)


@cache
def _forward_operations(model: str, size: int) -> float:
    with warnings.catch_warnings(), torch.device("meta"), torch.no_grad():
        warnings.simplefilter("ignore")
        network = UNet(ModelSettings.model_validate_json(model))
        image = torch.empty(1, 3, size, size)
        counter = FlopCounterMode(display=False)
        with counter:
            network(image, image[:, :1], torch.zeros(1, dtype=torch.long))
    return float(counter.get_total_flops())


def network_calls(diffusion: DiffusionSettings) -> int:
    """Return how often the network is called per image: T times, or T - 2 times in the released code."""
    return len(call_timesteps(diffusion))


def count_parameters(network: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def parameters_of(model: ModelSettings) -> int:
    """Return the number of a network's parameters without making it."""
    with torch.device("meta"):
        return count_parameters(UNet(model))
