"""Seconds per image of the reverse process, by number of timesteps and batch size (Table 5)."""

import csv
import statistics
import time
from pathlib import Path

import torch

from tfcore.methods.transfusion.infer import Model
from tfcore.runs.record import device_name
from tfcore.runtime.device import explained, precision_name, synchronise
from tfcore.runtime.files import replacing
from tfcore.settings.sections import HardwareSettings

REPEATS = 5
WARM_UP_STEPS = 3
LONG_SECONDS = 20.0  # a point that takes longer is repeated three times at most


def time_inference(
    checkpoint: Path, steps: list[int], batches: list[int], hardware: HardwareSettings, out_csv: Path
) -> None:
    """Write the median of several timings for every number of steps and batch size.

    Columns: device, precision, torch, size, steps, batch, repeats, seconds_per_image, lowest, highest. The weights do
    not matter for the time, hence one checkpoint serves all numbers of steps. A batch that does not fit on the GPU
    leaves its cells empty.
    """
    with explained(f"timing of {checkpoint}"):
        model = Model(checkpoint, "auto", hardware)
        size = model.settings.crop
        about = [device_name(str(model.device)), precision_name("auto", model.device), torch.__version__, size]
        rows = [about + time_point(model, size, count, batch) for count in steps for batch in batches]
        with replacing(out_csv) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            columns = ["steps", "batch", "repeats", "seconds_per_image", "lowest", "highest"]
            writer.writerow(["device", "precision", "torch", "size", *columns])
            writer.writerows(rows)


def time_point(model: Model, size: int, steps: int, batch: int) -> list[str]:
    """Return the cells of one point after a warm-up; empty ones when the GPU's memory is too small."""
    try:
        images = torch.randint(0, 256, (batch, size, size, 3), dtype=torch.uint8, device=model.device)
        first = timed(model, images, WARM_UP_STEPS)
        repeats = 3 if first * steps / WARM_UP_STEPS > LONG_SECONDS else REPEATS
        seconds = sorted(timed(model, images, steps) / batch for _ in range(repeats))
    except torch.OutOfMemoryError:
        return [str(steps), str(batch), "0", "", "", ""]
    figures = (statistics.median(seconds), seconds[0], seconds[-1])
    return [str(steps), str(batch), str(repeats), *(f"{value:.6g}" for value in figures)]


def timed(model: Model, images: torch.Tensor, steps: int) -> float:
    """Return the seconds of one reverse process with that many timesteps."""
    diffusion = model.settings.diffusion.model_copy(update={"steps": steps})
    synchronise(model.device)
    start = time.perf_counter()
    model.reverse(images, diffusion)
    synchronise(model.device)
    return time.perf_counter() - start
