"""Random numbers of a training: a function of its seed and of the step, so that resuming needs no saved generator."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

ORDER, STEP = 0, 1  # separate streams of random numbers


def mixed_seed(*numbers: int) -> int:
    """Return a seed that is different for every tuple of numbers and that neighbours do not correlate with."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the generator of everything that is random in a step, apart from the order of the images.

    It lives on the CPU, so that a step has the same batch on every device.
    """
    return torch.Generator().manual_seed(mixed_seed(seed, STEP, step))


@lru_cache(maxsize=1)  # asked for by every step of the epoch
def epoch_order(seed: int, epoch: int, images: int) -> Tensor:
    """Return the order (images,) in which an epoch shows its images."""
    return torch.randperm(images, generator=torch.Generator().manual_seed(mixed_seed(seed, ORDER, epoch)))
