"""Speed of training, inference and anomalies: the fast path against the plain one, alternately in one run."""

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.measure import Row, compare, report
from benchmarks.plain import (
    PlainTraining,
    decode,
    plain_batch,
    plain_network,
    plain_perlin,
    plain_reverse,
    plain_ssim,
)
from tfcore.anomalies.perlin import perlin_noise
from tfcore.data.training_data import TrainingData
from tfcore.methods.transfusion.batch import make_batch
from tfcore.methods.transfusion.diffusion import reverse_process
from tfcore.methods.transfusion.infer import to_input
from tfcore.methods.transfusion.losses import unit_ssim
from tfcore.methods.transfusion.operations import count_parameters, forward_operations
from tfcore.methods.transfusion.settings import ModelSettings, TrainingSettings
from tfcore.methods.transfusion.train import Training, new_network
from tfcore.methods.transfusion.unet import UNet
from tfcore.runs.record import device_name
from tfcore.runs.stages import stage_settings
from tfcore.runtime.device import autocast, precision_name, prepare, reproducible, take, to_device
from tfcore.runtime.errors import UserError
from tfcore.settings.sections import HardwareSettings
from tfcore.settings.variants import Settings
from tfcore.training.seeds import step_generator

PAPER_SCALE = (224, 64)  # size and width
EPOCHS, CATEGORIES, TRAIN_IMAGES = 1500, 27, 12288  # of MVTec AD and VisA together


@dataclass
class Setup:
    """What all measurements share: settings, device, pictures on disk and the same pictures packed."""

    settings: TrainingSettings
    hardware: HardwareSettings
    device: torch.device
    files: list[Path]
    data: TrainingData
    precision: str

    @property
    def about(self) -> Row:
        """Return what is the same for every row."""
        network, model = new_network(self.settings, 0), self.settings.model
        return {
            "device": device_name(str(self.device)),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "precision": precision_name(self.precision, self.device),
            "size": self.settings.crop,
            "width": model.width,
            "batch": self.settings.train.batch_size,
            "parameters": count_parameters(network),
        }


def prepare_run(
    settings: Settings, folder: Path, size: int, width: int, batch: int, native: int, images: int, precision: str
) -> Setup:
    """Write made-up pictures of ``native`` pixels to ``folder``, pack them and choose the device."""
    device = prepare(settings.hardware)
    stage = TrainingSettings.model_validate(stage_settings(settings, "train"))
    if width % 8:
        raise UserError(f"--width: {width} is not a multiple of 8")
    groups = next(count for count in (32, 16, 8) if width % count == 0)
    model = ModelSettings.model_validate(stage.model.model_dump() | {"width": width, "groups": groups})
    data = stage.data.model_copy(update={"resize": size * 8 // 7, "crop": size})
    train = stage.train.model_copy(update={"batch_size": batch, "precision": precision})
    stage = stage.model_copy(update={"model": model, "data": data, "train": train})
    files = write_pictures(folder, images, native)
    arrays = np.stack([decode(file, data.resize, size) for file in files])
    textures = np.stack([decode(file, size, size) for file in files])
    packed = TrainingData(
        torch.from_numpy(arrays).to(device),
        torch.ones(arrays.shape[:3], dtype=torch.uint8, device=device),
        torch.from_numpy(textures).to(device),
        device,
        "benchmark",
    )
    return Setup(stage, settings.hardware, device, files, packed, precision)


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


def numpy_parts(setup: Setup) -> tuple[np.ndarray, np.ndarray]:
    """Return foregrounds and textures as arrays on the host."""
    return setup.data.foregrounds.cpu().numpy(), setup.data.textures.cpu().numpy()


def run_train(settings: Settings, out: Path | None, repeats: int, size: int, width: int, batch: int, native: int,
              precision: str) -> list[Row]:  # fmt: skip
    """Measure a whole training step, and making its batch alone, which must not be what the device waits for."""
    with tempfile.TemporaryDirectory() as folder:
        images = batch * max(2, 16 // batch)  # whole batches
        setup = prepare_run(settings, Path(folder), size, width, batch, native, images, precision)
        fast = Training(0, setup.settings, setup.data, setup.hardware)
        foregrounds, textures = numpy_parts(setup)
        network: nn.Module = plain_network(new_network(setup.settings, 0)).to(setup.device)
        plain = PlainTraining(network, setup.files, foregrounds, textures, setup.settings, setup.device)
        # What a batch costs depends on what is drawn: both ways go through the same steps.
        plain_steps, fast_steps = itertools.count(), itertools.count()

        def fast_batch() -> None:
            number = next(fast_steps)
            chosen = fast.indices(number)
            make_batch(
                take(setup.data.images, chosen, setup.device),
                take(setup.data.foregrounds, chosen, setup.device),
                setup.data.textures,
                setup.settings,
                step_generator(0, number),
            )

        def fast_step() -> None:
            with reproducible(setup.hardware, setup.device):
                fast.step(next(fast_steps))

        batch_only = compare(
            "batch only", lambda: plain.batch(next(plain_steps)), fast_batch, batch, max(repeats, 3), setup.device
        )
        normal = to_input(take(setup.data.images, fast.indices(0), setup.device))
        guess = normal.mul(0.9).requires_grad_()
        similarity = compare(
            "SSIM and gradient",
            lambda: torch.autograd.grad(plain_ssim(guess, normal), guess),
            lambda: torch.autograd.grad(unit_ssim(guess, normal), guess),
            batch,
            max(repeats, 3),
            setup.device,
        )
        operations = 3 * batch * forward_operations(setup.settings.model, size)
        step = compare(
            "training step",
            lambda: plain.step(next(plain_steps)),
            fast_step,
            batch,
            repeats,
            setup.device,
            operations,
        )
        about = setup.about
        rows = [step, batch_only, similarity]
        report(rows, about, out)
        if (size, width) == PAPER_SCALE:
            hours = EPOCHS * TRAIN_IMAGES / float(step["fast_images_per_s"] or 1) / 3600
            print(f"all {CATEGORIES} categories × {EPOCHS} epochs at this speed: {hours:.3g} hours")
        return rows


def run_infer(settings: Settings, out: Path | None, repeats: int, size: int, width: int, batches: list[int],
              native: int, precision: str, steps: int) -> list[Row]:  # fmt: skip
    """Measure one forward pass and the whole reverse process at every batch size.

    The largest difference of one pass and the seconds per image are printed below the table.
    """
    with tempfile.TemporaryDirectory() as folder:
        setup = prepare_run(settings, Path(folder), size, width, max(batches), native, max(batches), precision)
        diffusion = setup.settings.diffusion.model_copy(update={"steps": steps})
        stage = setup.settings.model_copy(update={"diffusion": diffusion})
        network: UNet = new_network(stage, 0).eval()
        plain: nn.Module = plain_network(network).to(setup.device)
        fast = to_device(network, setup.device)
        images = to_input(setup.data.images)
        rows, difference = [], 0.0
        for batch in batches:
            passes = Passes(plain, fast, images[:batch], stage, precision)
            operations = batch * forward_operations(stage.model, size)
            one = compare("forward pass", passes.plain, passes.fast, batch, repeats, setup.device, operations)
            loop = compare(
                f"reverse process, T = {steps}",
                passes.plain_loop,
                passes.fast_loop,
                batch,
                repeats,
                setup.device,
                operations * steps,
            )
            rows += [{"what": row["what"], "batch": batch} | row for row in (one, loop)]
            difference = max(difference, passes.difference())
        report(rows, {key: value for key, value in setup.about.items() if key != "batch"}, out)
        print(f"largest difference of one forward pass: {difference:.2g}")
        seconds = {row["batch"]: float(row["fast_s"] or 0) / int(row["batch"] or 1) for row in rows[1::2]}
        best = min(seconds, key=lambda batch: seconds[batch])
        shown = ", ".join(f"{value:.3g} at batch {batch}" for batch, value in seconds.items())
        print(f"seconds per image, T = {steps}: {shown}; best at batch {best}")
        return rows


@dataclass
class Passes:
    """One forward pass and the reverse process of some images, one by one and together."""

    plain_network: nn.Module
    fast_network: nn.Module
    images: torch.Tensor
    settings: TrainingSettings
    precision: str

    def __post_init__(self) -> None:
        count, _, height, width = self.images.shape
        self.mask = self.images.new_zeros(count, 1, height, width)
        self.t = torch.ones(count, dtype=torch.long, device=self.images.device)

    def plain(self) -> tuple[torch.Tensor, ...]:
        """Pass the images one by one."""
        with torch.no_grad():
            each = zip(*(torch.split(values, 1) for values in (self.images, self.mask, self.t)), strict=True)
            return tuple(torch.cat(parts) for parts in zip(*(self.plain_network(*one) for one in each), strict=True))

    def fast(self) -> tuple[torch.Tensor, ...]:
        """Pass the images together."""
        with torch.inference_mode(), autocast(self.precision, self.images.device):
            return tuple(self.fast_network(self.images, self.mask, self.t))

    def plain_loop(self) -> None:
        """Run the reverse process of the images one by one."""
        plain_reverse(self.plain_network, self.images, self.settings)

    def fast_loop(self) -> None:
        """Run the reverse process of the images together."""
        with torch.inference_mode(), autocast(self.precision, self.images.device):
            reverse_process(self.fast_network, self.images, self.settings.diffusion).x0.cpu()

    def difference(self) -> float:
        """Return the largest difference of the two ways."""
        pairs = zip(self.plain(), self.fast(), strict=True)
        return max(float((a - b.float()).abs().max()) for a, b in pairs)


def run_anomalies(settings: Settings, out: Path | None, repeats: int, size: int, batch: int) -> list[Row]:
    """Measure making the anomalies of a batch from decoded images, and Perlin noise alone."""
    with tempfile.TemporaryDirectory() as folder:
        setup = prepare_run(settings, Path(folder), size, 64, batch, size, batch, "float32")
        stage, data = setup.settings, setup.data
        foregrounds, textures = numpy_parts(setup)
        images = list(data.images.cpu().numpy())
        rng = np.random.default_rng(0)
        angles = rng.uniform(0, 2 * np.pi, (batch, 33, 33))
        cells = 2 ** rng.integers(0, 6, (batch, 2))
        plain_step, fast_step = (
            itertools.count(),
            itertools.count(),
        )  # what a batch costs depends on the operations drawn: steps alike
        angles_there = torch.tensor(angles, dtype=torch.float32, device=setup.device)
        cells_there = torch.tensor(cells, dtype=torch.float32, device=setup.device)
        rows = [
            compare(
                "batch with anomalies",
                lambda: plain_batch(images, list(foregrounds), textures, stage, next(plain_step)),
                lambda: make_batch(
                    data.images, data.foregrounds, data.textures, stage, step_generator(0, next(fast_step))
                ),
                batch,
                repeats,
                setup.device,
            ),
            compare(
                "Perlin noise",
                lambda: [plain_perlin(a, (c[0], c[1]), size, size) for a, c in zip(angles, cells, strict=True)],
                lambda: perlin_noise(angles_there, cells_there, size, size),
                batch,
                repeats,
                setup.device,
            ),
        ]
        about = {key: value for key, value in setup.about.items() if key not in ("width", "parameters", "precision")}
        report(rows, about, out)
        return rows
