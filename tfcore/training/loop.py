"""The loop of every method that iterates: steps, log, intermediate checkpoints, a state that survives interruption."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tfcore.runs.record import run_names
from tfcore.runs.run import Run
from tfcore.runtime.errors import InterruptedTraining, UserError
from tfcore.runtime.files import digest
from tfcore.settings.sections import HardwareSettings
from tfcore.training.checkpoint import save_checkpoint
from tfcore.training.log import TrainingLog
from tfcore.training.state import StopRequest, clear_states, load_state, save_state


@dataclass(frozen=True)
class Job:
    """A training to be done: whose it is, what it reads (``stage_settings(…, "train")``), where its state is kept."""

    run: Run
    settings: dict[str, Any]
    inputs: dict[str, str | None]  # digests of the data, as recorded
    work: Path
    hardware: HardwareSettings
    device: torch.device
    stop: StopRequest

    @property
    def checkpoint_epochs(self) -> list[int]:
        """Epochs that leave an intermediate checkpoint."""
        epochs: list[int] = self.settings["checkpoint_epochs"]
        return epochs

    @property
    def identity(self) -> dict[str, Any]:
        """What a saved state must agree in to be continued."""
        data = {name: self.inputs.get(name) for name in ("pack", "textures")}
        return data | {"run": self.run.id, "version": self.settings["version"], "settings": digest(self.settings)}

    def save(self, path: Path, network: nn.Module) -> None:
        """Write a checkpoint of this training."""
        names = run_names(self.run, self.settings["method"])
        save_checkpoint(path, network.state_dict(), names, self.settings)


class Iterated(Protocol):
    """A network in training: `step` moves it by one batch, `state` and `restore` carry it over an interruption."""

    terms: list[str]  # names of the loss terms
    steps: int
    steps_per_epoch: int

    @property
    def network(self) -> nn.Module:
        """What is trained."""

    @property
    def optimiser(self) -> torch.optim.Optimizer:
        """What moves it."""

    def step(self, number: int) -> Tensor:
        """Train on batch ``number`` and return its loss terms (len(terms),) on the device, unread."""

    def images(self, number: int) -> int:
        """Return the number of images of batch ``number``."""

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, beside its number."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""


@dataclass(frozen=True)
class Finished:
    """A training that has ended: its log, and the step that its last attempt began after."""

    log: TrainingLog
    resumed_after: int


def run_steps(training: Iterated, job: Job) -> Finished:
    """Run the steps that are left, saving the state now and then.

    Raises `InterruptedTraining` after a signal, once the state is saved, and `UserError` for a loss or weight that is
    not finite.
    """
    job.work.mkdir(parents=True, exist_ok=True)
    log = TrainingLog(job.work / "log.csv", training.terms, training.steps, training.steps_per_epoch)
    first = _resume(training, log, job)
    leaves_checkpoint = {epoch * training.steps_per_epoch: epoch for epoch in job.checkpoint_epochs}
    rate = learning_rate(training)

    def check(step: int) -> None:
        log.read_back()  # what is not finite raises here: nothing is saved from it, and the last good state stays
        check_finite(training, step, rate)

    def save(step: int) -> None:
        check(step)
        save_state(job.work, job.identity, {"step": step, "training": training.state(), "log": log.state()})

    saved = time.monotonic()
    with log:
        for step in range(first + 1, training.steps + 1):
            rate = learning_rate(training)
            log.add(training.step(step - 1), rate, training.images(step - 1))
            if step % job.hardware.log_every == 0 or step == training.steps:
                log.write_row()
            if step in leaves_checkpoint:
                check(step)
                job.save(epoch_file(job.work, leaves_checkpoint[step]), training.network)
            if job.stop and step < training.steps:
                save(step)
                raise InterruptedTraining(
                    f"training stopped by {job.stop.name} after step {step} of {training.steps}, state saved in "
                    f"{job.work}; the same command continues it"
                )
            if time.monotonic() - saved > 60 * job.hardware.save_minutes:
                save(step)
                saved = time.monotonic()
        check(training.steps)
    return Finished(log, first)


def learning_rate(training: Iterated) -> float:
    """Return the learning rate of the next step."""
    return float(training.optimiser.param_groups[0]["lr"])


def check_finite(training: Iterated, step: int, rate: float) -> None:
    """Raise `UserError` naming ``step`` and its learning rate unless weights, buffers and optimiser are finite.

    A gradient can be NaN where the loss is not: that of the last step before a save is seen nowhere else.
    """
    tensors = list(training.network.state_dict().items())
    for name, parameter in training.network.named_parameters():
        tensors += [(name, value) for value in training.optimiser.state.get(parameter, {}).values()]
    finite = torch.stack([value.isfinite().all() for _, value in tensors]).tolist()
    if not all(finite):
        raise UserError(
            f"training stopped: {tensors[finite.index(False)][0]} is not finite after step {step} (learning rate "
            f"{rate:.3g}); lower train.learning_rate or set train.gradient_clip"
        )


def epoch_file(folder: Path, epoch: int) -> Path:
    """Return where an intermediate checkpoint lies while its training goes on; at the end it moves to the results."""
    return folder / f"epoch{epoch}.safetensors"


def _resume(training: Iterated, log: TrainingLog, job: Job) -> int:
    """Bring training and log to the newest good state; return its step, 0 when there is none."""
    state = load_state(job.work, job.identity, job.device)
    if state is None:
        clear_states(job.work)
        return 0
    step = int(state["step"])
    for epoch in job.checkpoint_epochs:
        file = epoch_file(job.work, epoch)
        if epoch * training.steps_per_epoch <= step and not file.exists():
            log.say(f"{file} is gone: not resumed, training starts again")
            clear_states(job.work)
            return 0
    training.restore(state["training"])
    log.restore(state["log"])
    log.say(f"resumed after step {step} of {training.steps}")
    return step
