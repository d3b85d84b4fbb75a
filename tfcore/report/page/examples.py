"""Qualitative examples of the report page: chosen by a rule, encoded small enough to live inside the page."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from tfcore.report.figures.style import MAP_COLOURS
from tfcore.report.figures.test_images import Picked, Samples, Tile


@dataclass(frozen=True)
class Example(Picked):
    """What the model made of it, small enough for the page."""

    size: int  # side in pixels
    cut: int  # per cent of the width at which the overlay begins: through the defect, so that both are seen
    pictures: dict[str, str]  # data URIs of overlay, map, truth and, where there are any, image and reconstruction


@dataclass(frozen=True)
class Gallery:
    """Examples of one category: typical ones, and its worst failures."""

    typical: list[Example]
    failures: list[Example]
    floor: float  # map value that is drawn black: the median pixel of the good images shown
    peak: float  # map value that is drawn brightest: the highest shown
    separated: bool  # every defective image scores above every good one


def gallery(samples: Samples, count: int, size: int) -> Gallery:
    """Return the examples of a run, pictures at most ``size`` pixels wide.

    Typical: `Samples.of_each_kind`. Failures: the two normal images with the highest and the two anomalous ones with
    the lowest scores, whatever they look like.
    """
    typical, failures = samples.of_each_kind(count), samples.worst(2)
    tiles = samples.tiles([*typical, *failures])
    # One scale for all that is shown: a constant background carries no information, and would tint it all.
    floor = float(np.median([np.median(tile.final) for tile in tiles if not tile.anomalous]))
    peak = max(float(tile.final.max()) for tile in tiles)
    examples = [_example(tile, floor, peak, size) for tile in tiles]
    scores, labels = samples.scores, samples.labels
    separated = bool(scores[labels == 1].min() > scores[labels == 0].max())
    return Gallery(examples[: len(typical)], examples[len(typical) :], floor, peak, separated)


def _example(tile: Tile, floor: float, peak: float, size: int) -> Example:
    level = np.clip((tile.final - floor) / ((peak - floor) or 1.0), 0, 1)
    colours = colormaps[MAP_COLOURS](level, bytes=True)[..., :3]
    alpha = (np.sqrt(level) * 255 * 0.9).round().astype(np.uint8)  # the overlay fades out where the map is low
    pixels = {"overlay": np.dstack([colours, alpha]), "map": colours, "truth": tile.truth.astype(np.uint8) * 255}
    pixels |= {name: each for name in ("image", "reconstruction") if (each := getattr(tile, name)) is not None}
    pictures = {name: encode(Image.fromarray(each), size) for name, each in pixels.items()}
    about = {field.name: getattr(tile, field.name) for field in fields(Picked)}
    return Example(**about, size=len(tile.final), cut=_cut(tile.truth), pictures=pictures)


def _cut(mask: NDArray[np.bool_]) -> int:
    columns = np.flatnonzero(mask.any(axis=0))
    return round(100 * float(columns.mean() + 0.5) / mask.shape[1]) if len(columns) else 50


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
