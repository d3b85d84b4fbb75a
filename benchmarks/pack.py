"""Packing against bare Pillow decoding of the same files, on one core, in one run."""

import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image
from skimage.draw import ellipse

from benchmarks.measure import Row, report, seconds_of
from tfcore.data.check import check_data
from tfcore.data.pack import pack
from tfcore.settings.sections import DatasetSettings

DIFFERENT = 50  # images that are drawn; the others are copies, or drawing would take longer than measuring
KINDS = {"surface": ["thing"], "object": []}  # `textures` of the dataset: a surface needs no foreground


def run(out: Path | None, repeats: int, images: int, suffix: str, shape: tuple[int, int] = (1000, 1500)) -> list[Row]:
    """Make a category, pack it as a surface and as an object, and decode it, in turn; print rates and ratios.

    Rates are images per second of CPU time, which other programs on the machine disturb less.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_category(folder / "raw" / "thing", images, shape, suffix)
        ways = {kind: packing(folder, textures) for kind, textures in KINDS.items()}
        check_data("benchmark", folder / "raw", dataset([]), {"thing": folder / "thing.csv"})
        ways["object"]()  # imports torch, fills the disk cache
        ways["decoding"] = partial(decode_all, files)
        rounds = [{kind: images / seconds_of(way)[1] for kind, way in ways.items()} for _ in range(repeats)]
    rows: list[Row] = [
        {
            "what": kind,
            "decoding_images_per_s": median(rates["decoding"] for rates in rounds),
            "pack_images_per_s": median(rates[kind] for rates in rounds),
            "ratio": median(rates[kind] / rates["decoding"] for rates in rounds),
        }
        for kind in KINDS
    ]
    report(rows, {"images": images, "size": f"{shape[1]}x{shape[0]}", "format": suffix}, out)
    return rows


def packing(folder: Path, textures: list[str]) -> Callable[[], object]:
    """Return the function that packs the category in ``folder`` with one thread."""
    files = folder / "thing.csv", folder / "packed"
    arguments = ("benchmark", "thing", folder / "raw", dataset(textures), {"resize": 256}, *files)
    return partial(pack, *arguments, workers=1)


def dataset(textures: list[str]) -> DatasetSettings:
    """Return the settings of a dataset with one category."""
    return DatasetSettings(title="Benchmark", layout="mvtec", categories=["thing"], textures=textures)


def make_category(folder: Path, count: int, shape: tuple[int, int], suffix: str) -> list[Path]:
    """Write objects with smooth shapes and noise on an even ground, in MVTec AD's layout; all but four for training."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (12, 18, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC), np.int16)
    files: list[Path] = []
    for number in range(count):
        part = ("train/good", "test/good", "test/bad")[0 if number >= 4 else 1 + number % 2]
        path = folder / part / f"{number:04d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        files.append(path)
        if number >= DIFFERENT:
            shutil.copy(files[number % DIFFERENT], path)
            continue
        image = np.full((*shape, 3), 215, np.int16)
        inside = ellipse(shape[0] / 2, shape[1] * (0.45 + 0.1 * rng.random()), 0.35 * shape[0], 0.35 * shape[1])
        image[inside] = np.roll(smooth, 31 * number, 1)[inside]
        image += rng.normal(0, 6, (*shape, 1)).astype(np.int16)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path, quality=92)
        if part == "test/bad":
            mask = folder / "ground_truth" / "bad" / f"{number:04d}_mask.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.eye(*shape, dtype=np.uint8) * np.uint8(255)).save(mask)
    return files


def decode_all(files: list[Path]) -> None:
    """Decode every file with Pillow into an array, and nothing more."""
    for file in files:
        np.asarray(Image.open(file))
