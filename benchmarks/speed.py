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
from tfcore.anomalies.compose import make_batch
from tfcore.anomalies.perlin import perlin_noise
from tfcore.config import HardwareSettings, ModelSettings, Settings, TrainingSettings
from tfcore.device import autocast, forward_operations, precision_name, prepare, reproducible, to_device
from tfcore.errors import UserError
from tfcore.infer import to_input
from tfcore.model.diffusion import reverse_process
from tfcore.model.losses import unit_ssim
from tfcore.model.unet import UNet, count_parameters
from tfcore.provenance import device_name
from tfcore.runs import stage_settings
from tfcore.train import Training, TrainingData, new_network, step_generator

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
        setup = prepare_run(settings, Path(folder), size, width, batch, native, max(16, batch), precision)
        fast = Training(0, setup.settings, setup.data, setup.hardware)
        foregrounds, textures = numpy_parts(setup)
        network: nn.Module = plain_network(new_network(setup.settings, 0)).to(setup.device)
        plain = PlainTraining(network, setup.files, foregrounds, textures, setup.settings, setup.device)
        chosen = fast.indices(0).to(setup.device)

        def fast_step() -> None:
            with reproducible(setup.hardware, setup.device):
                fast.step(0)

        batch_only = compare(
            "batch only",
            lambda: plain.batch(0),
            lambda: make_batch(
                setup.data.images[chosen],
                setup.data.foregrounds[chosen],
                setup.data.textures,
                setup.settings,
                step_generator(0, 0),
            ),
            batch,
            max(repeats, 3),
            setup.device,
        )
        normal = to_input(setup.data.images[chosen])
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
        step = compare("training step", lambda: plain.step(0), fast_step, batch, repeats, setup.device, operations)
        about = setup.about
        rows = [step, batch_only, similarity]
        report(rows, about, out)
        if (size, width) == PAPER_SCALE:
            hours = EPOCHS * TRAIN_IMAGES / float(step["fast_images_per_s"] or 1) / 3600
            print(f"all {CATEGORIES} categories × {EPOCHS} epochs at this speed: {hours:.3g} hours")
        return rows


def run_infer(settings: Settings, out: Path | None, repeats: int, size: int, width: int, batch: int, native: int,
              precision: str, steps: int) -> list[Row]:  # fmt: skip
    """Measure one forward pass and the whole reverse process; the largest difference of one pass is printed."""
    with tempfile.TemporaryDirectory() as folder:
        setup = prepare_run(settings, Path(folder), size, width, batch, native, batch, precision)
        diffusion = setup.settings.diffusion.model_copy(update={"steps": steps})
        stage = setup.settings.model_copy(update={"diffusion": diffusion})
        network: UNet = new_network(stage, 0).eval()
        plain: nn.Module = plain_network(network).to(setup.device)
        fast = to_device(network, setup.device)
        images = to_input(setup.data.images[:batch])
        mask, t = images.new_zeros(batch, 1, size, size), torch.full((batch,), 1, device=setup.device)

        def fast_pass() -> tuple[torch.Tensor, ...]:
            with torch.inference_mode(), autocast(precision, setup.device):
                return tuple(fast(images, mask, t))

        def plain_pass() -> tuple[torch.Tensor, ...]:
            with torch.no_grad():
                passes = [plain(images[i : i + 1], mask[i : i + 1], t[i : i + 1]) for i in range(batch)]
            return tuple(torch.cat(parts) for parts in zip(*passes, strict=True))

        def fast_loop() -> None:
            with torch.inference_mode(), autocast(precision, setup.device):
                reverse_process(fast, images, diffusion).x0.cpu()

        operations = batch * forward_operations(stage.model, size)
        one = compare("forward pass", plain_pass, fast_pass, batch, repeats, setup.device, operations)
        loop = compare(
            f"reverse process, T = {steps}",
            lambda: plain_reverse(plain, images, stage),
            fast_loop,
            batch,
            repeats,
            setup.device,
            operations * steps,
        )
        report([one, loop], setup.about, out)
        pairs = zip(plain_pass(), fast_pass(), strict=True)
        difference = max(float((a - b.float()).abs().max()) for a, b in pairs)
        print(f"largest difference of one forward pass: {difference:.2g}")
        return [one, loop]


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
