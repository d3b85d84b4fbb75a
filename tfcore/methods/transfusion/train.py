"""Training of one run: batches made on the device, a state that survives any interruption, one log.

Random numbers are a function of (seed, epoch) for the order of the images and of (seed, step) for everything else, so
a resumed training needs no generator state and ends, on a CPU, with the bits of an uninterrupted one.
"""

import inspect
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tfcore.data.packed import Packed, about_textures, packed_textures
from tfcore.methods.transfusion.batch import make_batch
from tfcore.methods.transfusion.losses import training_losses
from tfcore.methods.transfusion.unet import UNet, count_parameters
from tfcore.operations.cpu_guard import check_scale
from tfcore.runs.record import finish_record, read_record, start_record
from tfcore.runs.run import Run, run_names
from tfcore.runtime.device import (
    autocast,
    can_compile,
    explained,
    peak_memory,
    precision_name,
    prepare,
    reproducible,
    take,
    to_device,
    upload,
)
from tfcore.runtime.errors import InterruptedTraining, UserError
from tfcore.runtime.files import replacing, sha256_of
from tfcore.settings.sections import HardwareSettings, TrainingSettings, digest
from tfcore.training.checkpoint import save_checkpoint
from tfcore.training.lock import claimed
from tfcore.training.log import TrainingLog
from tfcore.training.state import StopRequest, clear_states, load_state, save_state, stop_on_signal

TERMS = ["mask", "anomaly", "normal", "consistency", "total"]
ORDER, STEP = 0, 1  # separate streams of random numbers


@dataclass
class TrainingData:
    """Images uint8 (N, H, W, 3) and foregrounds uint8 (N, H, W), cropped; textures uint8 (K, S, S, 3)."""

    images: Tensor
    foregrounds: Tensor
    textures: Tensor
    device: torch.device
    pack: str  # digest of the packed category
    manifest: str | None = None  # sha256 of its manifest; the workflow compares it, and the next
    foreground: str | None = None  # where anomalies may lie (`tfcore.runs.run.foreground_source`)
    textures_pack: str | None = None  # digest of the packed textures, whatever archive the settings name

    @classmethod
    def load(cls, packed: Path, textures: Path, stage: TrainingSettings, device: torch.device) -> "TrainingData":
        """Read a packed category and the packed textures; they stay on the device when they fit.

        Raises `UserError` when there is no training image, or the images were packed with another ``data.resize``.
        """
        data, crop = Packed(packed), stage.crop
        if not data.train_count:
            raise UserError(f"{packed}: holds no training images")
        if data.size != stage.data.resize:
            raise UserError(
                f"{packed}: packed at {data.size} pixels, but data.resize is {stage.data.resize}; "
                "pack the category again"
            )
        arrays = (data.train_images(crop), data.foregrounds(crop), packed_textures(textures))
        images, foregrounds, sources = (upload(torch.from_numpy(np.array(array)), device) for array in arrays)
        about = data.about
        names = about.get("manifest_sha256"), about.get("foreground")
        return cls(images, foregrounds, sources, device, digest(about), *names, digest(about_textures(textures)))


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
    """A network in training: `step` moves it by one batch, `state` and `restore` carry it over an interruption."""

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
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

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
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(mixed_seed(self.seed, ORDER, epoch))
            self._order = (epoch, torch.randperm(len(self.data.images), generator=generator))
        size = self.settings.train.batch_size
        return self._order[1][place * size : (place + 1) * size]

    def check_finite(self, step: int, rate: float) -> None:
        """Raise `UserError` naming ``step`` and its learning rate unless weights, buffers and optimiser are finite.

        A gradient can be NaN where the loss is not: that of the last step before a save is seen nowhere else.
        """
        tensors = list(self.network.state_dict().items())
        for name, parameter in self.network.named_parameters():
            tensors += [(name, value) for value in self.optimiser.state.get(parameter, {}).values()]
        finite = torch.stack([value.isfinite().all() for _, value in tensors]).tolist()
        if not all(finite):
            raise UserError(
                f"training stopped: {tensors[finite.index(False)][0]} is not finite after step {step} (learning rate "
                f"{rate:.3g}); lower train.learning_rate or set train.gradient_clip"
            )

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self.optimiser.param_groups[0]["lr"])

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on, beside its number."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scheduler": self.scheduler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scheduler.load_state_dict(state["scheduler"])

    def _make_scheduler(self) -> torch.optim.lr_scheduler.LRScheduler:
        train = self.settings.train
        if train.schedule == "one_cycle":
            return torch.optim.lr_scheduler.OneCycleLR(
                self.optimiser, train.learning_rate, total_steps=self.steps + 1, cycle_momentum=False
            )
        drop = train.drop_epoch * self.steps_per_epoch
        return torch.optim.lr_scheduler.MultiStepLR(self.optimiser, milestones=[drop], gamma=0.1)


def train(
    run: Run,
    settings: dict[str, Any],
    packed: Path,
    textures: Path,
    out: Path,
    work: Path,
    hardware: HardwareSettings,
) -> None:
    """Train one run and write ``model.safetensors``, ``log.csv`` and ``run.json`` into ``out`` (Section 3.3).

    ``settings`` is ``stage_settings(…, "train")``; ``work`` holds the resume state and is emptied at the end. Raises
    `InterruptedTraining` (exit code 75) after SIGTERM, SIGINT or SIGUSR1 once the state is saved, and `UserError` for
    a loss that is not finite, a full disk, missing rights, too little GPU memory, or paper scale without a GPU.
    """
    stage = TrainingSettings.model_validate(settings)
    device = prepare(hardware)
    with (
        explained(f"training {run.id}"),
        reproducible(hardware, device),
        stop_on_signal() as stop,
        claimed(work.with_name(f"{work.name}.claim"), stop),
    ):
        data = TrainingData.load(packed, textures, stage, device)
        if is_trained(out, settings, data):
            print(f"{out} holds this training already (to repeat it, remove that folder)", flush=True)
            return
        if device.type == "cpu" and hardware.device == "auto":
            check_scale(stage, len(data.images))
        training = Training(run.seed, stage, data, hardware)
        packs = {"pack": data.pack, "textures": data.textures_pack}
        inputs = packs | {"manifest_sha256": data.manifest, "foreground": data.foreground}
        record = start_record(run, "train", settings, str(device), **inputs)
        identity = packs | {"run": run.id, "recipe": stage.recipe, "settings": digest(settings)}
        log, first = run_steps(training, run, settings, identity, work, hardware, stop)
        log.write(out / "log.csv")
        for epoch in stage.train.keep_epochs:
            keep_epoch(epoch_file(work, epoch), epoch_file(out, epoch))
        save_checkpoint(out / "model.safetensors", training.network, run_names(run), settings)
        kept = {str(epoch): sha256_of(epoch_file(out, epoch)) for epoch in stage.train.keep_epochs}
        done = summary(training, log, first, out / "model.safetensors")
        finish_record(record, out / "run.json", **done, kept_sha256=kept)
        shutil.rmtree(work, ignore_errors=True)


def is_trained(out: Path, settings: dict[str, Any], data: TrainingData) -> bool:
    """Return whether ``out`` holds the whole, undamaged result of training with these settings on these data.

    Another job may have finished it: one that outlived its Snakemake, or that this one waited for.
    """
    record, model = read_record(out / "run.json"), out / "model.safetensors"
    files = [model, out / "log.csv", *(epoch_file(out, epoch) for epoch in settings["train"]["keep_epochs"])]
    if record is None or not all(file.exists() for file in files):
        return False
    made_from = (record.get("settings_digest"), record.get("inputs", {}).get("pack"), record.get("model_sha256"))
    return made_from == (digest(settings), data.pack, sha256_of(model))


def run_steps(
    training: Training,
    run: Run,
    settings: dict[str, Any],
    identity: dict[str, Any],
    work: Path,
    hardware: HardwareSettings,
    stop: StopRequest,
) -> tuple[TrainingLog, int]:
    """Run the steps that are left, saving the state now and then; return the log and the step it began with."""
    work.mkdir(parents=True, exist_ok=True)
    log = TrainingLog(work / "log.csv", TERMS, training.steps, training.steps_per_epoch)
    first = resume(training, log, identity, work)
    keep = {epoch * training.steps_per_epoch: epoch for epoch in training.settings.train.keep_epochs}
    rate = training.learning_rate

    def check(step: int) -> None:
        log.read_back()  # what is not finite raises here: nothing is saved from it, and the last good state stays
        training.check_finite(step, rate)

    def save(step: int) -> None:
        check(step)
        save_state(work, identity, {"step": step, "training": training.state(), "log": log.state()})

    saved = time.monotonic()
    with log:
        for step in range(first + 1, training.steps + 1):
            rate = training.learning_rate
            log.add(training.step(step - 1), rate, len(training.indices(step - 1)))
            if step % hardware.log_every == 0 or step == training.steps:
                log.write_row()
            if step in keep:
                check(step)
                save_checkpoint(epoch_file(work, keep[step]), training.network, run_names(run), settings)
            if stop and step < training.steps:
                save(step)
                raise InterruptedTraining(
                    f"training stopped by {stop.name} after step {step} of {training.steps}, state saved in {work}; "
                    "the same command continues it"
                )
            if time.monotonic() - saved > 60 * hardware.save_minutes:
                save(step)
                saved = time.monotonic()
        check(training.steps)
    return log, first


def resume(training: Training, log: TrainingLog, identity: dict[str, Any], work: Path) -> int:
    """Bring training and log to the newest good state in ``work``; return its step, 0 when there is none."""
    state = load_state(work, identity, training.device)
    if state is None:
        clear_states(work)
        return 0
    step = int(state["step"])
    for epoch in training.settings.train.keep_epochs:
        if epoch * training.steps_per_epoch <= step and not epoch_file(work, epoch).exists():
            log.say(f"{epoch_file(work, epoch)} is gone: not resumed, training starts anew")
            clear_states(work)
            return 0
    training.restore(state["training"])
    log.restore(state["log"])
    log.say(f"resumed after step {step} of {training.steps}")
    return step


def new_network(settings: TrainingSettings, seed: int) -> UNet:
    """Return an untrained network whose weights depend on the seed alone; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(settings.model)


def mixed_seed(*numbers: int) -> int:
    """Return a seed that is different for every tuple of numbers and that neighbours do not correlate with."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the generator of everything that is random in a step, apart from the order of the images.

    It lives on the CPU, so that a step has the same batch on every device.
    """
    return torch.Generator().manual_seed(mixed_seed(seed, STEP, step))


def epoch_file(folder: Path, epoch: int) -> Path:
    """Return where the weights after an epoch of ``train.keep_epochs`` lie."""
    return folder / f"epoch{epoch}.safetensors"


def keep_epoch(source: Path, target: Path) -> None:
    """Copy the weights kept after an epoch to the results, unless a second writer was first and tidied up."""
    if not source.exists() and target.exists():
        return
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def summary(training: Training, log: TrainingLog, first: int, model: Path) -> dict[str, Any]:
    """Return what ``run.json`` says of a finished training; speed is the mean over the rows of the log."""
    speeds = [row[-1] for row in log.rows]
    return {
        "model_sha256": sha256_of(model),
        "parameters": count_parameters(training.network),
        "steps": training.steps,
        "resumed_after_step": first,
        "precision": precision_name(training.settings.train.precision, training.device),
        "images_per_second": round(float(np.mean(speeds)), 3) if speeds else None,
        "peak_memory_bytes": peak_memory(training.device),
    }
