"""Qualitative examples of the report page: chosen by a rule, encoded small enough to live inside the page."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from tfcore.report.figures.style import MAP_COLOURS, Pixels
from tfcore.report.figures.test_images import Tile, read_samples
from tfcore.runs.run import Run
from tfcore.settings.variants import Settings


@dataclass(frozen=True)
class Example:
    """One test image with what the model made of it."""

    file: str
    defect: str
    anomalous: bool
    score: float
    rank: int  # 1 = highest score of the category; equal scores share a rank
    of: int
    note: str
    size: int  # side in pixels
    cut: int  # per cent of the width at which the overlay begins: through the defect, so that both are seen
    pictures: dict[str, str]  # data URIs of overlay, map, truth and, where there are any, image and reconstruction


@dataclass(frozen=True)
class Gallery:
    """Examples of one category: typical ones, and its worst failures."""

    dataset: str
    category: str
    typical: list[Example]
    failures: list[Example]
    floor: float  # map value that is drawn black: the median pixel of the good images shown
    peak: float  # map value that is drawn brightest: the highest shown
    separated: bool  # every defective image scores above every good one


def gallery(root: Path, settings: Settings, run: Run, count: int, size: int) -> Gallery | None:
    """Return the examples of a run, pictures at most ``size`` pixels wide; `None` while it has no maps.

    Typical: `Samples.of_each_kind`. Failures: the two normal images with the highest and the two anomalous ones with
    the lowest scores, whatever they look like.
    """
    samples = read_samples(run, settings, root)
    if samples is None:
        return None
    typical, failures = samples.of_each_kind(count), samples.worst(2)
    tiles = samples.tiles([*typical, *failures])
    # One scale for all that is shown: a constant background carries no information, and would tint it all.
    floor = float(np.median([np.median(tile.final) for tile in tiles if not tile.anomalous]))
    peak = max(float(tile.final.max()) for tile in tiles)
    examples = [_example(tile, floor, peak, size) for tile in tiles]
    scores, labels = samples.scores, samples.labels
    separated = bool(scores[labels == 1].min() > scores[labels == 0].max())
    shown, failed = examples[: len(typical)], examples[len(typical) :]
    return Gallery(run.dataset, run.category, shown, failed, floor, peak, separated)


def _example(tile: Tile, floor: float, peak: float, size: int) -> Example:
    colours, overlay = _coloured(tile.final, floor, peak)
    truth = tile.truth.astype(np.uint8) * 255
    pixels = {
        "image": tile.image,
        "overlay": overlay,
        "map": colours,
        "reconstruction": tile.reconstruction,
        "truth": truth,
    }
    return Example(
        file=tile.file,
        defect=tile.defect,
        anomalous=tile.anomalous,
        score=tile.score,
        rank=tile.rank,
        of=tile.of,
        note=tile.chosen,
        size=tile.final.shape[0],
        cut=_cut(tile.truth),
        pictures={name: encode(Image.fromarray(each), size) for name, each in pixels.items() if each is not None},
    )


def _cut(mask: NDArray[np.bool_]) -> int:
    columns = np.flatnonzero(mask.any(axis=0))
    return round(100 * float(columns.mean() + 0.5) / mask.shape[1]) if len(columns) else 50


@lru_cache(maxsize=1)
def _palette() -> Pixels:
    return (colormaps[MAP_COLOURS](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8)


def _coloured(final: NDArray[np.float32], floor: float, peak: float) -> tuple[Pixels, Pixels]:
    """Return a map in colours (H, W, 3), and the same fading out where it is low (H, W, 4)."""
    level = np.clip((final - floor) / ((peak - floor) or 1.0), 0, 1)
    colours = _palette()[(level * 255).round().astype(np.uint8)]
    alpha = (np.sqrt(level) * 255 * 0.9).round().astype(np.uint8)
    return colours, np.dstack([colours, alpha])


def encode(picture: Image.Image, width: int, quality: int = 78) -> str:
    """Return a picture, at most ``width`` pixels wide, as a data URI in WebP."""
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=4, lossless=picture.mode == "L")
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def weight(galleries: Iterable[Gallery]) -> int:
    """Return how many bytes the pictures add to the page."""
    examples = [example for item in galleries for example in (*item.typical, *item.failures)]
    return sum(len(uri) for example in examples for uri in example.pictures.values())
