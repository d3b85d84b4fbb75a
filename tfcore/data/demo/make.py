"""The demo's data: two small sets in the official layouts of MVTec AD and VisA, and textures, all drawn here."""

import zlib
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfcore.data.demo.drawing import Canvas, place, puddle
from tfcore.data.demo.scenes import Scene, board, cloth, nut, pills
from tfcore.data.layouts import SPLIT
from tfcore.runtime.files import write_csv
from tfcore.runtime.parallel import granted_cores

SIZE = 128
TRAIN, GOOD, DEFECTIVE = 60, 16, 24
TEXTURES = 40
PATTERNS = ("bricks", "cells", "dotted", "marbled", "ringed", "striped", "waffled", "zigzag")


class Category(NamedTuple):
    """What is drawn, and which defects it can have."""

    draw: Scene
    defects: tuple[str, ...]


MVTEC = {
    "cloth": Category(cloth, ("cut", "stain", "thread")),
    "nut": Category(nut, ("bent", "broken", "rust", "scratch")),
}
VISA = {
    "pills": Category(pills, ("colour", "dent", "leak", "missing")),
    "board": Category(board, ("burnt", "crack", "missing", "shifted")),
}


def make_demo_data(folder: Path | str, seed: int = 0) -> None:
    """Write ``demo_mvtec``, ``demo_visa`` and ``textures`` into ``folder``; the same seed gives the same files.

    Each category has 60 normal training images, 16 normal and 24 defective test images of 128 × 128 pixels.
    """
    folder = Path(folder)
    with ProcessPoolExecutor(granted_cores()) as pool:  # small steps of NumPy: threads would wait for each other
        jobs = [pool.submit(_write_mvtec, folder / "demo_mvtec" / name, name, seed) for name in MVTEC]
        visa = [pool.submit(_write_visa, folder / "demo_visa", name, seed) for name in VISA]
        jobs += [pool.submit(_write_textures, folder / "textures", seed)]
        for job in jobs:
            job.result()
        split = chain.from_iterable(job.result() for job in visa)
        write_csv(folder / "demo_visa" / SPLIT, ("object", "split", "label", "image", "mask"), split)


def draw(name: str, defect: str, index: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw one image (128, 128, 3) and the mask of its defect (128, 128); ``defect`` may be ``good``."""
    canvas = empty_canvas(f"{name}/{defect}", index, seed)
    (MVTEC | VISA)[name].draw(canvas, defect)
    return canvas.finish()


def empty_canvas(kind: str, index: int, seed: int) -> Canvas:
    """Return a canvas whose random numbers depend on nothing but what is drawn."""
    return Canvas(SIZE, np.random.default_rng([seed, zlib.crc32(kind.encode()), index]))


def _write_mvtec(folder: Path, name: str, seed: int) -> None:
    for index in range(TRAIN + GOOD):
        part = "train/good" if index < TRAIN else "test/good"
        _save(draw(name, "good", index, seed)[0], folder / part / f"{index % TRAIN:03d}.png")
    for defect, index in _defective(name):
        image, mask = draw(name, defect, index, seed)
        _save(image, folder / "test" / defect / f"{index:03d}.png")
        _save(mask.astype(np.uint8) * np.uint8(255), folder / "ground_truth" / defect / f"{index:03d}_mask.png")


def _write_visa(folder: Path, name: str, seed: int) -> list[tuple[str, ...]]:
    """Write one category and return its rows of the split file."""
    rows: list[tuple[str, ...]] = []
    for index in range(TRAIN + GOOD):
        file = f"{name}/Data/Images/Normal/{index:03d}.JPG"
        _save(draw(name, "good", index, seed)[0], folder / file)
        rows.append((name, "train" if index < TRAIN else "test", "normal", file, ""))
    for number, (defect, index) in enumerate(_defective(name)):
        file, mask_file = f"{name}/Data/Images/Anomaly/{number:03d}.JPG", f"{name}/Data/Masks/Anomaly/{number:03d}.png"
        image, mask = draw(name, defect, index, seed)
        class_id = np.uint8(VISA[name].defects.index(defect) + 1)
        _save(image, folder / file)
        _save(mask.astype(np.uint8) * class_id, folder / mask_file)
        rows.append((name, "test", "anomaly", file, mask_file))
    return rows


def _defective(name: str) -> list[tuple[str, int]]:
    defects = (MVTEC | VISA)[name].defects
    return [(defect, index) for defect in defects for index in range(DEFECTIVE // len(defects))]


def _write_textures(folder: Path, seed: int) -> None:
    for index in range(TEXTURES):
        kind = PATTERNS[index % len(PATTERNS)]
        _save(_texture(kind, index, seed), folder / kind / f"{kind}_{index:03d}.jpg")


def _texture(kind: str, index: int, seed: int) -> NDArray[np.uint8]:
    """Draw a two- or three-coloured pattern (128, 128, 3) of random scale and direction."""
    canvas = empty_canvas(kind, index, seed)
    rng = canvas.rng
    x, y = place(canvas.x, canvas.y, rng.uniform(-0.5, 0.5, 2), rng.uniform(0, 180))
    frequency = rng.uniform(3, 9)
    u, v = frequency * x + 0.1 * canvas.noise(0.15), frequency * y + 0.1 * canvas.noise(0.15)
    match kind:
        case "bricks":
            row = np.floor(v)
            level = np.minimum(np.abs((u / 2 + row / 2) % 1 - 0.5) * 2, np.abs(v % 1 - 0.5)) < 0.42
        case "cells":
            level = np.sin(3 * canvas.noise(0.8 / frequency))
        case "dotted":
            level = np.hypot(u % 1 - 0.5, v % 1 - 0.5) < rng.uniform(0.2, 0.4)
        case "marbled":
            level = np.sin(2 * u + 2 * canvas.noise(0.2))
        case "ringed":
            level = np.sin(2 * np.pi * puddle(u, v, rng, 0.5))
        case "striped":
            level = np.sin(2 * np.pi * u)
        case "waffled":
            level = np.abs(np.sin(np.pi * u) * np.sin(np.pi * v))
        case _:
            level = ((u + 2 * np.abs(v % 1 - 0.5)) % 1) < 0.5
    values = np.asarray(level, np.float32)
    share = (values - values.min()) / np.ptp(values)
    dark, light = rng.uniform(0, 0.6, 3), rng.uniform(0.4, 1, 3)
    canvas.paint(np.ones_like(x), (dark + share[..., None] * (light - dark)).astype(np.float32))
    canvas.shade(1 + 0.08 * canvas.noise(0.02))
    return canvas.finish()[0]


def _save(image: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)
