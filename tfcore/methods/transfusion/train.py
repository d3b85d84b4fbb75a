"""Training of the three heads: batches made on the device, their losses, the optimiser (Section 4.3).

Random numbers are a function of (seed, epoch) for the order of the images and of (seed, step) for everything else, so
a resumed training needs no generator state and ends, on a CPU, with the bits of an uninterrupted one.
"""

import inspect
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tfcore.data.training_data import TrainingData
from tfcore.methods.base import Fitted
from tfcore.methods.transfusion.batch import make_batch
from tfcore.methods.transfusion.losses import training_losses
from tfcore.methods.transfusion.operations import count_parameters
from tfcore.methods.transfusion.released import released_weights
from tfcore.methods.transfusion.settings import TrainingSettings
from tfcore.methods.transfusion.unet import UNet
from tfcore.runtime.device import autocast, can_compile, precision_name, take, to_device
from tfcore.settings.sections import HardwareSettings
from tfcore.training.loop import Job, run_steps
from tfcore.training.seeds import epoch_order, step_generator

TERMS = ["mask", "anomaly", "normal", "consistency", "total"]
STATEFUL = ("network", "optimiser", "scheduler")


class AdamW(torch.optim.AdamW):
    """AdamW without the wrappers that import torch._dynamo, which takes 3 s, as long as torch itself.

    They are for optimisers inside `torch.compile`; here only the network is compiled.
    """

    add_param_group = inspect.unwrap(torch.optim.AdamW.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.AdamW.zero_grad)
    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    state_dict = inspect.unwrap(torch.optim.AdamW.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.AdamW.load_state_dict)


class Training:
    """A network in training (`tfcore.training.loop.Iterated`)."""

    terms = TERMS

    def __init__(self, seed: int, settings: TrainingSettings, data: TrainingData, hardware: HardwareSettings) -> None:
        self.seed, self.settings, self.data, self.device = seed, settings, data, data.device
        self.network = to_device(new_network(settings, seed), self.device)
        compiled = hardware.compile and can_compile(self.device)
        self.forward = torch.compile(self.network, dynamic=False) if compiled else self.network
        self.steps_per_epoch = -(-len(data.images) // settings.train.batch_size)
        self.steps = settings.train.epochs * self.steps_per_epoch
        self.optimiser = AdamW(
            self.network.parameters(),
            lr=settings.train.learning_rate,
            weight_decay=settings.train.weight_decay,
            fused=True,
        )
        self.scheduler = self._make_scheduler()

    def step(self, number: int) -> Tensor:
        """Train on batch ``number`` and return its loss terms (5,) on the device, unread."""
        settings = self.settings
        chosen = self.indices(number)
        batch = make_batch(
            take(self.data.images, chosen, self.device),
            take(self.data.foregrounds, chosen, self.device),
            self.data.textures,
            settings,
            step_generator(self.seed, number),
        )
        with autocast(settings.train.precision, self.device):
            heads = self.forward(batch.x_t, batch.previous_mask, batch.t)
        losses = training_losses(heads, batch, settings)
        torch.autograd.backward(losses["total"])
        if settings.train.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.train.gradient_clip)
        self.optimiser.step()
        self.optimiser.zero_grad()
        self.scheduler.step()
        return torch.stack([losses[name].detach() for name in TERMS])

    def indices(self, number: int) -> Tensor:
        """Return which images form batch ``number``: every image once per epoch, the last batch may be smaller."""
        epoch, place = divmod(number, self.steps_per_epoch)
        size = self.settings.train.batch_size
        return epoch_order(self.seed, epoch, len(self.data.images))[place * size : (place + 1) * size]

    def images(self, number: int) -> int:
        """Return the number of images of batch ``number``."""
        return len(self.indices(number))

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, beside its number."""
        return {name: getattr(self, name).state_dict() for name in STATEFUL}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        for name in STATEFUL:
            getattr(self, name).load_state_dict(state[name])

    def _make_scheduler(self) -> torch.optim.lr_scheduler.LRScheduler:
        train = self.settings.train
        if train.schedule == "one_cycle":
            return torch.optim.lr_scheduler.OneCycleLR(
                self.optimiser, train.learning_rate, total_steps=self.steps + 1, cycle_momentum=False
            )
        drop = train.drop_epoch * self.steps_per_epoch
        return torch.optim.lr_scheduler.MultiStepLR(self.optimiser, milestones=[drop], gamma=0.1)


def fit(job: Job, data: TrainingData) -> Fitted:
    """Train one run, or take the authors' weights where the settings name them."""
    settings = TrainingSettings.model_validate(job.settings)
    if settings.train.released:
        return released_weights(job.hardware.released_weights, job.run)
    training = Training(int(job.run.seed), settings, data, job.hardware)
    done = run_steps(training, job)
    speeds = [row[-1] for row in done.log.rows]
    about = {
        "parameters": count_parameters(training.network),
        "steps": training.steps,
        "resumed_after_step": done.resumed_after,
        "precision": precision_name(settings.train.precision, job.device),
        "images_per_second": round(float(np.mean(speeds)), 3) if speeds else None,
    }
    return Fitted(training.network.state_dict(), done.log, about=about)


def new_network(settings: TrainingSettings, seed: int) -> UNet:
    """Return an untrained network whose weights depend on the seed alone; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(settings.model)
