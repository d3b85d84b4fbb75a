"""Compare packing with bare Pillow decoding of the same files, per core, in one run.

Usage: python benchmarks/pack.py [--images 300] [--width 1500] [--height 1000] [--folder FOLDER]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from tfcore.config import DatasetSettings
from tfcore.data.check import check_data
from tfcore.data.pack import pack


def main() -> None:
    """Print images per second of both, in alternation, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=300, help="images to make; with few, fixed costs show")
    parser.add_argument("--width", type=int, default=1500)
    parser.add_argument("--height", type=int, default=1000)
    parser.add_argument("--suffix", choices=[".jpg", ".png"], default=".jpg")
    parser.add_argument("--workers", type=int, default=1, help="threads, for both sides")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_category(folder / "raw" / "thing", options.images, (options.height, options.width), options.suffix)
        settings = DatasetSettings(title="Benchmark", layout="mvtec", categories=["thing"], textures=["thing"])
        manifest = folder / "thing.csv"
        check_data("benchmark", folder / "raw", settings, {"thing": manifest})
        arguments = ("benchmark", "thing", folder / "raw", settings, {"resize": 256}, manifest, folder / "packed")
        pack(*arguments, workers=options.workers)  # imports torch, fills the disk cache
        ratios = []
        for _ in range(options.rounds):
            bare = rate(lambda: decode_all(files, options.workers), len(files))
            packed = rate(lambda: pack(*arguments, workers=options.workers), len(files))
            ratios.append(packed / bare)
            print(f"bare decoding {bare:.1f} images/s, pack {packed:.1f} images/s, ratio {ratios[-1]:.2f}")
    print(f"median ratio {np.median(ratios):.2f}, {options.workers} thread(s), {options.width}x{options.height}")


def make_category(folder: Path, count: int, shape: tuple[int, int], suffix: str) -> list[Path]:
    """Write photographs-like images (smooth shapes and noise) in MVTec AD's layout; half of ten are test images."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (12, 18, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(small).resize(shape[::-1], Image.Resampling.BICUBIC), np.int16)
    files = []
    for number in range(count):
        part = ("train/good", "test/good", "test/bad")[0 if number >= 4 else 1 + number % 2]
        path = folder / part / f"{number:04d}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = np.roll(smooth, 31 * number, 1) + rng.normal(0, 6, (*shape, 1)).astype(np.int16)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(path, quality=92)
        if part == "test/bad":
            mask = folder / "ground_truth" / "bad" / f"{number:04d}_mask.png"
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.eye(*shape, dtype=np.uint8) * np.uint8(255)).save(mask)
        files.append(path)
    return files


def decode_all(files: list[Path], workers: int) -> None:
    """Decode every file with Pillow into an array, and nothing more."""
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda path: np.asarray(Image.open(path).convert("RGB")).shape, files))


def rate(work: Callable[[], None], count: int) -> float:
    """Return items per second of processor time, which other programs on the machine disturb less."""
    start = time.process_time()
    work()
    return count / (time.process_time() - start)


if __name__ == "__main__":
    main()
