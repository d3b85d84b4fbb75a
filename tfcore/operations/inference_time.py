"""Seconds per image of a method's inference, by number of timesteps and batch size (Table 5)."""

import csv
import statistics
import time
from pathlib import Path

import torch

from tfcore.methods.base import Model
from tfcore.methods.infer import Loaded
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
    not matter for the time, hence one checkpoint serves all numbers of steps; a method without them has one row. A
    batch that does not fit on the GPU leaves its cells empty.
    """
    with explained(f"timing of {checkpoint}"):
        loaded = Loaded.read(checkpoint, hardware)
        precision = precision_name("auto", loaded.device)
        about = [device_name(str(loaded.device)), precision, torch.__version__, loaded.crop]
        models = [loaded.model.with_steps(count) for count in steps] if loaded.model.steps else [loaded.model]
        rows = [about + time_point(loaded, model, batch) for model in models for batch in batches]
        with replacing(out_csv) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            columns = ["steps", "batch", "repeats", "seconds_per_image", "lowest", "highest"]
            writer.writerow(["device", "precision", "torch", "size", *columns])
            writer.writerows(rows)


def time_point(loaded: Loaded, model: Model, batch: int) -> list[str]:
    """Return the cells of one point after a warm-up; empty ones when the GPU's memory is too small."""
    steps = "" if model.steps is None else str(model.steps)
    try:
        shape = (batch, loaded.crop, loaded.crop, 3)
        images = torch.randint(0, 256, shape, dtype=torch.uint8, device=loaded.device)
        short = WARM_UP_STEPS if model.steps else None
        first = timed(model.with_steps(short) if short else model, images, loaded.device)
        whole = first * model.steps / short if model.steps and short else first
        repeats = 3 if whole > LONG_SECONDS else REPEATS
        seconds = sorted(timed(model, images, loaded.device) / batch for _ in range(repeats))
    except torch.OutOfMemoryError:
        return [steps, str(batch), "0", "", "", ""]
    figures = (statistics.median(seconds), seconds[0], seconds[-1])
    return [steps, str(batch), str(repeats), *(f"{value:.6g}" for value in figures)]


def timed(model: Model, images: torch.Tensor, device: torch.device) -> float:
    """Return the seconds of one inference."""
    synchronise(device)
    start = time.perf_counter()
    model.maps(images)
    synchronise(device)
    return time.perf_counter() - start
