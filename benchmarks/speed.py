"""Speed of training, inference and anomalies: the optimised code against the baseline, alternately in one run."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.baseline import (
    BaselineTraining,
    Picture,
    baseline_batch,
    baseline_network,
    baseline_perlin,
    baseline_reverse,
    baseline_ssim,
    decode,
)
from benchmarks.measure import Row, compare, report
from tfcore.anomalies.perlin import perlin_noise
from tfcore.data.training_data import TrainingData
from tfcore.methods.transfusion.batch import Batch, make_batch
from tfcore.methods.transfusion.diffusion import reverse_process
from tfcore.methods.transfusion.infer import to_input
from tfcore.methods.transfusion.losses import unit_ssim
from tfcore.methods.transfusion.method import TransFusion
from tfcore.methods.transfusion.operations import forward_operations, parameters_of
from tfcore.methods.transfusion.settings import ModelSettings, TrainingSettings
from tfcore.methods.transfusion.train import Training, new_network
from tfcore.runs.record import device_name
from tfcore.runs.stages import stage_settings
from tfcore.runtime.device import autocast, precision_name, prepare, reproducible, take, to_device
from tfcore.runtime.errors import UserError
from tfcore.settings.variants import Settings
from tfcore.training.seeds import step_generator

PAPER_SCALE = (224, 64)  # size and width
EPOCHS, CATEGORIES, TRAIN_IMAGES = 1500, 27, 12288  # of MVTec AD and VisA together


@dataclass
class Setup:
    """What all measurements share: settings, pictures on disk, and the same pictures packed, on the device."""

    settings: TrainingSettings
    files: list[Path]
    data: TrainingData

    def about(self, *without: str) -> Row:
        """Return what is the same for every row."""
        model, train, device = self.settings.model, self.settings.train, self.data.device
        values: Row = {
            "device": device_name(str(device)),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "precision": precision_name(train.precision, device),
            "size": self.settings.crop,
            "width": model.width,
            "batch": train.batch_size,
            "parameters": parameters_of(model),
            "network": TransFusion().network(self.settings.model_dump()),
        }
        return {name: value for name, value in values.items() if name not in without}

    @property
    def arrays(self) -> tuple[Picture, Picture]:
        """Return foregrounds and textures as arrays on the host."""
        return self.data.foregrounds.cpu().numpy(), self.data.textures.cpu().numpy()


@contextmanager
def made_up_run(
    settings: Settings, size: int, width: int, batch: int, native: int, images: int, precision: str
) -> Iterator[Setup]:
    """Write made-up pictures of ``native`` pixels to a temporary folder, pack them and choose the device."""
    hardware = settings.hardware
    device = prepare(hardware.device, hardware.threads, hardware.deterministic)
    stage = TrainingSettings.model_validate(stage_settings(settings, "train"))
    if width % 8:
        raise UserError(f"--width: {width} is not a multiple of 8")
    groups = next(count for count in (32, 16, 8) if width % count == 0)
    model = ModelSettings.model_validate(stage.model.model_dump() | {"width": width, "groups": groups})
    data = stage.data.model_copy(update={"resize": size * 8 // 7, "crop": size})
    train = stage.train.model_copy(update={"batch_size": batch, "precision": precision})
    stage = stage.model_copy(update={"model": model, "data": data, "train": train})
    with tempfile.TemporaryDirectory() as folder:
        files = write_pictures(Path(folder), images, native)
        arrays = np.stack([decode(file, data.resize, size) for file in files])
        textures = np.stack([decode(file, size, size) for file in files])
        foregrounds = torch.ones(arrays.shape[:3], dtype=torch.uint8, device=device)
        packed = (torch.from_numpy(arrays).to(device), foregrounds, torch.from_numpy(textures).to(device))
        yield Setup(stage, files, TrainingData(*packed, device, {}))


def write_pictures(folder: Path, count: int, native: int) -> list[Path]:
    """Write smooth made-up pictures as PNG, the format of MVTec AD."""
    rng = np.random.default_rng(0)
    files = []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((native, native), Image.Resampling.BICUBIC)).astype(np.int16)
        noisy = (smooth + rng.integers(-3, 4, smooth.shape)).clip(0, 255).astype(np.uint8)
        files.append(folder / f"{number:03}.png")
        Image.fromarray(noisy).save(files[-1])
    return files


def run_train(settings: Settings, out: Path | None, repeats: int, size: int, width: int, batch: int, native: int,
              precision: str) -> list[Row]:  # fmt: skip
    """Measure a whole training step, and making its batch alone, which must not be what the device waits for."""
    images = batch * max(2, 16 // batch)  # whole batches
    with made_up_run(settings, size, width, batch, native, images, precision) as setup:
        stage, data, device = setup.settings, setup.data, setup.data.device
        optimised = Training(0, stage, data, settings.hardware)
        network = baseline_network(new_network(stage, 0)).to(device)
        baseline = BaselineTraining(network, setup.files, *setup.arrays, stage, device)
        # What a batch costs depends on what is drawn: both ways go through the same steps.
        baseline_steps, steps = itertools.count(), itertools.count()

        def optimised_batch() -> Batch:
            number = next(steps)
            chosen = optimised.indices(number)
            some = take(data.images, chosen, device), take(data.foregrounds, chosen, device)
            return make_batch(*some, data.textures, stage, step_generator(0, number))

        def optimised_step() -> None:
            with reproducible(settings.hardware.deterministic, device):
                optimised.step(next(steps))

        measure = partial(compare, images=batch, device=device)
        quick = partial(measure, repeats=max(repeats, 3))
        batch_only = quick("batch only", lambda: baseline.batch(next(baseline_steps)), optimised_batch)
        normal = to_input(take(data.images, optimised.indices(0), device))
        guess = normal.mul(0.9).requires_grad_()
        similarity = quick(
            "SSIM and gradient",
            lambda: torch.autograd.grad(baseline_ssim(guess, normal), guess),
            lambda: torch.autograd.grad(unit_ssim(guess, normal), guess),
        )
        ways = (lambda: baseline.step(next(baseline_steps)), optimised_step)
        operations = 3 * batch * forward_operations(stage.model, size)
        step = measure("training step", *ways, repeats=repeats, operations=operations)
        rows = [step, batch_only, similarity]
        report(rows, setup.about(), out)
    if (size, width) == PAPER_SCALE:
        hours = EPOCHS * TRAIN_IMAGES / float(step["optimised_images_per_s"] or 1) / 3600
        print(f"all {CATEGORIES} categories × {EPOCHS} epochs at this speed: {hours:.3g} hours")
    return rows


def run_infer(settings: Settings, out: Path | None, repeats: int, size: int, width: int, batches: list[int],
              precision: str, steps: int) -> list[Row]:  # fmt: skip
    """Measure one forward pass and the whole reverse process at every batch size.

    The largest difference of one pass and the seconds per image are printed below the table.
    """
    rows: list[Row] = []
    difference = 0.0
    with made_up_run(settings, size, width, max(batches), size, max(batches), precision) as setup:
        diffusion = setup.settings.diffusion.model_copy(update={"steps": steps})
        stage, device = setup.settings.model_copy(update={"diffusion": diffusion}), setup.data.device
        network = new_network(stage, 0).eval()
        baseline, optimised = baseline_network(network).to(device), to_device(network, device)
        images, operations = to_input(setup.data.images), forward_operations(stage.model, size)
        for batch in batches:
            some = images[:batch]
            inputs = some, torch.zeros_like(some[:, :1]), torch.ones(batch, dtype=torch.long, device=device)
            ways = partial(one_by_one, baseline, *inputs), partial(together, optimised, precision, *inputs)
            measure = partial(compare, images=batch, repeats=repeats, device=device)
            one = measure("forward pass", *ways, operations=operations * batch)
            loops = partial(baseline_reverse, baseline, some, stage), partial(optimised_reverse, optimised, some, stage)
            loop = measure(f"reverse process, T = {steps}", *loops, operations=operations * batch * steps)
            rows += [{"what": row["what"], "batch": batch} | row for row in (one, loop)]
            pairs = zip(ways[0](), ways[1](), strict=True)
            difference = max(difference, *(float((a - b.float()).abs().max()) for a, b in pairs))
        report(rows, setup.about("batch"), out)
    print(f"largest difference of one forward pass: {difference:.2g}")
    seconds = {row["batch"]: float(row["optimised_s"] or 0) / int(row["batch"] or 1) for row in rows[1::2]}
    best = min(seconds, key=lambda batch: seconds[batch])
    shown = ", ".join(f"{value:.3g} at batch {batch}" for batch, value in seconds.items())
    print(f"seconds per image, T = {steps}: {shown}; best at batch {best}")
    return rows


@torch.no_grad()
def one_by_one(network: nn.Module, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the heads of one forward pass, image by image."""
    each = zip(*(torch.split(values, 1) for values in inputs), strict=True)
    return tuple(torch.cat(parts) for parts in zip(*(network(*one) for one in each), strict=True))


def together(network: nn.Module, precision: str, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return the heads of one forward pass of all images."""
    with torch.inference_mode(), autocast(precision, inputs[0].device):
        return tuple(network(*inputs))


def optimised_reverse(network: nn.Module, images: Tensor, stage: TrainingSettings) -> Tensor:
    """Run the reverse process of all images."""
    with torch.inference_mode(), autocast(stage.train.precision, images.device):
        return reverse_process(network, images, stage.diffusion).x0.cpu()


def run_anomalies(settings: Settings, out: Path | None, repeats: int, size: int, batch: int) -> list[Row]:
    """Measure making the anomalies of a batch from decoded images, and Perlin noise alone."""
    with made_up_run(settings, size, PAPER_SCALE[1], batch, size, batch, "float32") as setup:
        stage, data, device = setup.settings, setup.data, setup.data.device
        foregrounds, textures = setup.arrays
        images = list(data.images.cpu().numpy())
        rng = np.random.default_rng(0)
        angles, cells = rng.uniform(0, 2 * np.pi, (batch, 33, 33)), 2 ** rng.integers(0, 6, (batch, 2))
        there = [torch.tensor(values, dtype=torch.float32, device=device) for values in (angles, cells)]
        baseline_steps, steps = itertools.count(), itertools.count()  # a batch costs what is drawn for it: steps alike
        measure = partial(compare, images=batch, repeats=repeats, device=device)
        rows = [
            measure(
                "batch with anomalies",
                lambda: baseline_batch(images, list(foregrounds), textures, stage, next(baseline_steps)),
                lambda: make_batch(data.images, data.foregrounds, data.textures, stage, step_generator(0, next(steps))),
            ),
            measure(
                "Perlin noise",
                lambda: [baseline_perlin(a, (c[0], c[1]), size, size) for a, c in zip(angles, cells, strict=True)],
                lambda: perlin_noise(there[0], there[1], size, size),
            ),
        ]
        report(rows, setup.about("width", "parameters", "precision", "network"), out)
        return rows
