"""A small canvas for the demo's images: shapes are signed distances, painted with soft edges at twice the size."""

import math
from copy import copy
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Array: TypeAlias = NDArray[np.floating[Any]]
Point: TypeAlias = tuple[float, float] | NDArray[np.float64]
Colour: TypeAlias = tuple[float, float, float]

SUPERSAMPLING = 2


class Canvas:
    """An RGB image (3, H, W) in [0, 1] and the mask of its defect, in coordinates from -1 to 1 (x right, y down).

    Defects have random numbers of their own: without its defect, the same product is drawn.
    """

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng, self.fault_rng = size, rng, rng.spawn(1)[0]
        side = size * SUPERSAMPLING
        axis = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
        self.x, self.y = np.meshgrid(axis, axis)
        self.pixel = 2 / side
        self.image, self.defect = np.zeros((3, side, side), np.float32), np.zeros((side, side), np.float32)

    def near(self, x: Array, y: Array, reach: float) -> "tuple[Canvas, Array, Array]":
        """Return the part of this canvas within ``reach`` of the origin of ``x`` and ``y``, and these there.

        What is painted on the part is painted here; a small shape costs no work on the whole canvas. Noise and `finish`
        are for the whole.
        """
        window = _window((np.abs(x) < reach) & (np.abs(y) < reach))
        part = copy(self)
        for plane in ("x", "y", "image", "defect"):
            setattr(part, plane, getattr(self, plane)[..., *window])
        return part, x[window], y[window]

    def cover(self, distance: Array, softness: float = 0.0) -> Array:
        """Turn a signed distance (negative inside) into the covered share of each pixel; ``softness`` in units."""
        return np.asarray(np.clip(0.5 - distance / (self.pixel + softness), 0, 1))

    def paint(self, coverage: Array, colour: Colour | Array, opacity: float = 1.0) -> None:
        """Blend a colour, or a whole picture (H, W, 3), over the image."""
        window = _window(coverage > 0)
        share, colours = coverage[window] * np.float32(opacity), np.asarray(colour, np.float32)
        for channel, plane in enumerate(self.image):
            wanted = colours[channel] if colours.ndim == 1 else colours[window][..., channel]
            plane[window] += share * (wanted - plane[window])

    def shade(self, factor: Array) -> None:
        """Multiply the brightness by a factor (H, W), or by one for each colour (3, H, W)."""
        self.image *= factor

    def mark(self, coverage: Array) -> None:
        """Add to the mask of the defect."""
        np.maximum(self.defect, coverage, out=self.defect)

    def noise(self, sigma: float, rng: np.random.Generator | None = None) -> Array:
        """Return smooth noise of unit deviation, ``sigma`` in units."""
        white = fft.rfft2((rng or self.rng).standard_normal(self.x.shape, np.float32))
        rows, columns = fft.fftfreq(len(self.x))[:, None], fft.rfftfreq(len(self.x))
        spread = 2 * (math.pi * sigma / self.pixel) ** 2
        values = fft.irfft2(white * np.exp(-spread * (rows**2 + columns**2)).astype(np.float32))
        return np.asarray(values / values.std(), np.float32)

    def finish(self) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Light the scene, add the camera's noise and reduce to size: image (S, S, 3) and mask (S, S)."""
        angle = self.rng.uniform(0, 2 * np.pi)
        slope = self.rng.uniform(0, 0.12)
        self.shade(self.rng.uniform(0.9, 1.08) + slope * (self.x * np.cos(angle) + self.y * np.sin(angle)))
        self.image *= self.rng.uniform(0.96, 1.04, 3).astype(np.float32)[:, None, None]
        image = np.moveaxis(_reduced(self.image), 0, -1)
        image += self.rng.normal(0, 0.012, image.shape)
        mask = _reduced(self.defect) > 0.25
        return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), mask


def _window(inside: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns of the smallest rectangle around what is true, none if nothing is."""
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if rows.size else np.s_[:0, :0]


def _reduced(planes: Array) -> Array:
    """Return the mean of each block of pixels that becomes one: (…, H, W) to (…, S, S)."""
    steps = range(SUPERSAMPLING)
    parts = [planes[..., row::SUPERSAMPLING, column::SUPERSAMPLING] for row in steps for column in steps]
    return np.asarray(np.add.reduce(parts) / np.float32(len(parts)))


def place(x: Array, y: Array, centre: Point, degrees: float = 0.0) -> tuple[Array, Array]:
    """Return the coordinates as seen from a part that sits at ``centre``, turned by ``degrees``."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))  # Python floats keep float32 arrays
    dx, dy = x - float(centre[0]), y - float(centre[1])
    return (dx * cos + dy * sin, dy * cos - dx * sin) if degrees else (dx, dy)


def shifted(distance: Array, down: int, right: int) -> Array:
    """Return a shape's distances moved by so many pixels, as for its shadow; at a part's edge nothing comes around."""
    rows, columns = distance.shape
    return np.pad(distance, ((down, 0), (right, 0)), mode="edge")[:rows, :columns] if distance.size else distance


def disc(x: Array, y: Array, radius: float) -> Array:
    """Distance to a circle around the origin."""
    return np.sqrt(x * x + y * y) - float(radius)


def box(x: Array, y: Array, half_width: float, half_height: float, corner: float = 0.0) -> Array:
    """Distance to a rectangle with rounded corners."""
    dx = np.abs(x) - float(half_width - corner)
    dy = np.abs(y) - float(half_height - corner)
    outside = np.maximum(dx, 0) ** 2 + np.maximum(dy, 0) ** 2
    return np.asarray(np.sqrt(outside) + np.minimum(np.maximum(dx, dy), 0) - float(corner))


def hexagon(x: Array, y: Array, apothem: float) -> Array:
    """Distance to a regular hexagon (exact at its sides)."""
    sides = [np.abs(x * np.cos(a) + y * np.sin(a)) for a in np.deg2rad([0.0, 60.0, 120.0])]
    return np.asarray(np.maximum.reduce(sides) - float(apothem))


def polyline(x: Array, y: Array, points: NDArray[np.float64], width: float) -> Array:
    """Distance to a line through ``points`` (K, 2) of the given width."""
    nearest = np.full_like(x, np.inf)
    for (ax, ay), (bx, by) in pairwise(points):
        px, py, ex, ey = x - float(ax), y - float(ay), float(bx - ax), float(by - ay)
        along = np.clip((px * ex + py * ey) / (ex * ex + ey * ey + 1e-9), 0, 1)
        nearest = np.minimum(nearest, (px - along * ex) ** 2 + (py - along * ey) ** 2)
    return np.sqrt(nearest) - float(width / 2)


def wander(rng: np.random.Generator, start: Point, length: float, bend: float, steps: int = 8) -> NDArray[np.float64]:
    """Return the points (steps + 1, 2) of a line in a random direction that turns about ``bend`` radians a step."""
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, bend, steps))
    moves = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (length / steps)
    return np.concatenate([[start], start + np.cumsum(moves, axis=0)])


def puddle(x: Array, y: Array, rng: np.random.Generator, radius: float) -> Array:
    """Distance-like field of a stain: a circle whose radius varies with the angle."""
    angle = np.arctan2(y, x)
    wobble = sum(rng.uniform(0.03, 0.16) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
    return np.asarray(np.hypot(x, y) - radius * (1 + wobble), np.float32)
