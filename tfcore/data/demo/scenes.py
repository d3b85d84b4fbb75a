"""The four products of the demo's data: each varies as a production line does, and has defects with exact masks."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tfcore.data.demo.drawing import Array, Canvas, Colour, box, disc, hexagon, place, polyline, puddle, shifted, wander

Scene = Callable[[Canvas, str], None]
"""Draws one product on an empty canvas, with the named defect or ``good``."""


def cloth(canvas: Canvas, defect: str) -> None:
    """Draw woven cloth: warp over weft over warp; defects ``cut``, ``stain``, ``thread``."""
    rng, fault = canvas.rng, canvas.fault_rng
    x, y = place(canvas.x, canvas.y, rng.uniform(-0.2, 0.2, 2), rng.uniform(-4, 4))
    x, y = x + 0.012 * canvas.noise(0.25), y + 0.012 * canvas.noise(0.25)
    threads = 9.0
    across, along = np.cos(np.pi * threads * x), np.cos(np.pi * threads * y)
    over = np.sign(np.sin(np.pi * threads * x / 2 + np.pi / 4) * np.sin(np.pi * threads * y / 2 + np.pi / 4))
    warp, weft = 0.55 + 0.45 * np.abs(across), 0.55 + 0.45 * np.abs(along)
    blue, sand = np.array([0.30, 0.42, 0.62]), np.array([0.80, 0.74, 0.62])
    tint = rng.normal(0, 0.015, 3)
    top = np.where(over[..., None] > 0, warp[..., None] * (blue + tint), weft[..., None] * (sand + tint))
    canvas.paint(np.ones_like(x), top.astype(np.float32))
    canvas.shade(1 + 0.03 * canvas.noise(0.02))

    start = (rng.uniform(-0.6, 0.6), rng.uniform(-0.6, 0.6))
    if defect == "cut":
        line = wander(fault, start, fault.uniform(0.5, 0.9), 0.35)
        edge = polyline(canvas.x, canvas.y, line, fault.uniform(0.06, 0.10))
        gap = canvas.cover(edge + 0.012 * canvas.noise(0.03, fault))
        canvas.paint(gap, (0.10, 0.09, 0.10))
        canvas.mark(gap)
    elif defect == "stain":
        dx, dy = place(canvas.x, canvas.y, start)
        spot = puddle(dx, dy, fault, fault.uniform(0.16, 0.34))
        rim = np.exp(-((spot / 0.03) ** 2))
        canvas.shade(1 - canvas.cover(spot, 0.06) * (0.38 + 0.2 * rim))
        canvas.shade(1 - canvas.cover(spot, 0.06) * np.array([0.0, 0.12, 0.3], np.float32)[:, None, None])
        canvas.mark(canvas.cover(spot))
    elif defect == "thread":
        line, width = wander(fault, start, fault.uniform(1.0, 1.6), 0.45, 14), 0.065
        distance = polyline(canvas.x, canvas.y, line, width)
        round_profile = np.clip(1 - ((distance + width / 2) / (width / 2)) ** 2, 0, 1) ** 0.5
        red = np.array([0.72, 0.20, 0.18], np.float32)
        canvas.paint(canvas.cover(distance), red * (0.5 + 0.5 * round_profile[..., None]))
        canvas.mark(canvas.cover(distance))


def nut(canvas: Canvas, defect: str) -> None:
    """Draw a hexagon nut on a grey table; defects ``scratch``, ``broken``, ``bent``, ``rust``."""
    rng, fault = canvas.rng, canvas.fault_rng
    canvas.paint(np.ones_like(canvas.x), (0.25, 0.27, 0.29))
    canvas.shade(1 + 0.05 * canvas.noise(0.012) + 0.03 * canvas.noise(0.3))
    x, y = place(canvas.x, canvas.y, rng.uniform(-0.07, 0.07, 2), rng.uniform(-10, 10))
    size = rng.uniform(0.60, 0.65)
    sound = hexagon(x, y, size)
    body = sound
    if defect == "broken":
        corner = np.deg2rad(30 + 60 * fault.integers(6))
        cut = x * np.cos(corner) + y * np.sin(corner) - size * fault.uniform(0.74, 0.92)
        body = np.maximum(body, cut + 0.02 * canvas.noise(0.05, fault))
    elif defect == "bent":
        side = np.deg2rad(60 * fault.integers(6) + fault.uniform(-15, 15))
        towards, beside = x * np.cos(side) + y * np.sin(side), y * np.cos(side) - x * np.sin(side)
        bulge = fault.uniform(0.13, 0.2) * fault.choice([-1, 1])
        body = body - np.float32(bulge) * np.exp(-((beside / 0.22) ** 2)) * (towards > 0)
    if defect in ("broken", "bent"):
        canvas.mark(np.abs(canvas.cover(sound) - canvas.cover(body)))

    shadow = canvas.cover(np.roll(body, (10, 10), (0, 1)), 0.12)
    canvas.shade(1 - 0.55 * shadow)
    brushed = 0.66 + 0.05 * np.sin(np.hypot(x, y) * 120 + rng.uniform(0, 6)) + 0.02 * canvas.noise(0.02)
    sheen = 0.10 * np.cos(2 * np.arctan2(y, x) + rng.uniform(-0.5, 0.5))
    bevel = np.where(np.hypot(x, y) > size * 1.02, 0.72, 1.0)
    metal = (brushed + sheen) * bevel * (0.75 + 0.25 * np.clip(-body / 0.05, 0, 1))
    tone = np.array([0.97, 0.99, 1.03], np.float32) + rng.normal(0, 0.01, 3)
    canvas.paint(canvas.cover(body), (metal[..., None] * tone).astype(np.float32))
    hole = disc(x, y, size * 0.52)
    canvas.paint(canvas.cover(hole), (0.43, 0.44, 0.46))
    for step in range(3):
        canvas.paint(canvas.cover(disc(x, y, size * (0.49 - 0.045 * step))), (0.32 - 0.1 * step,) * 3)
        canvas.paint(canvas.cover(disc(x, y, size * (0.465 - 0.045 * step))), (0.47 - 0.13 * step,) * 3)
    canvas.paint(canvas.cover(disc(x, y, size * 0.36)), (0.12, 0.125, 0.13))

    flat = canvas.cover(np.maximum(body, -hole))  # surface defects stay on the metal
    angle = rng.uniform(0, 2 * np.pi)
    spot = (0.77 * size * np.cos(angle), 0.77 * size * np.sin(angle))
    if defect == "scratch":
        line = wander(fault, spot, fault.uniform(0.35, 0.7), 0.15)
        scratch = polyline(x, y, line - (line.mean(0) - spot), fault.uniform(0.035, 0.05))
        canvas.paint(canvas.cover(np.roll(scratch, (3, 3), (0, 1))) * flat, (0.2, 0.2, 0.2), 0.6)
        canvas.paint(canvas.cover(scratch) * flat, (0.96, 0.96, 0.95))
        canvas.mark(canvas.cover(scratch - 0.01) * flat)
    elif defect == "rust":
        stain = puddle(*place(x, y, spot), fault, fault.uniform(0.13, 0.22))
        grain = np.clip(0.8 + 0.2 * canvas.noise(0.015, fault), 0, 1)
        canvas.paint(canvas.cover(stain, 0.03) * flat * grain, (0.47, 0.24, 0.10), 0.9)
        canvas.mark(canvas.cover(stain) * flat)


PILL_PLACES = [(column, row) for row in (-0.48, 0.48) for column in (-0.62, 0.0, 0.62)]


def pills(canvas: Canvas, defect: str) -> None:
    """Draw six two-coloured capsules on a tray; defects ``missing``, ``leak``, ``colour``, ``dent``."""
    rng = canvas.rng
    canvas.paint(np.ones_like(canvas.x), (0.80, 0.81, 0.80))
    canvas.shade(1 + 0.012 * canvas.noise(0.05))
    tray = place(canvas.x, canvas.y, rng.uniform(-0.04, 0.04, 2), rng.uniform(-2, 2))
    chosen = int(rng.integers(len(PILL_PLACES)))
    for number, centre in enumerate(PILL_PLACES):
        _well(*canvas.near(*place(*tray, centre), 0.7))
        beside = np.add(centre, rng.uniform(-0.025, 0.025, 2))
        x, y = place(*tray, beside, rng.uniform(-9, 9) + 180 * rng.integers(2))
        tint = rng.normal(0, 0.012, 3)
        if number == chosen and defect == "missing":
            canvas.mark(canvas.cover(box(x, y, 0.17, 0.36, 0.17)))
        else:
            _capsule(*canvas.near(x, y, 0.6), tint, defect if number == chosen else "good")


def _well(canvas: Canvas, x: Array, y: Array) -> None:
    edge = box(x, y, 0.25, 0.43, 0.2)
    canvas.paint(canvas.cover(edge), (0.70, 0.715, 0.72))
    canvas.shade(1 - 0.16 * np.exp(-((edge / 0.025) ** 2)) * np.clip(0.6 - (x + y), 0, 1))


def _capsule(canvas: Canvas, x: Array, y: Array, tint: NDArray[np.float64], defect: str) -> None:
    fault = canvas.fault_rng
    sound = box(x, y, 0.17, 0.36, 0.17)
    body = sound
    if defect == "dent":
        centre = (fault.choice([-1, 1]) * fault.uniform(0.15, 0.19), fault.uniform(-0.25, 0.25))
        body = np.maximum(body, -disc(*place(x, y, centre), fault.uniform(0.10, 0.14)))
        canvas.mark(np.abs(canvas.cover(sound) - canvas.cover(body)))
    canvas.shade(1 - 0.35 * canvas.cover(shifted(body, 7, 5), 0.08))
    upper: Colour = (0.12, 0.50, 0.36)
    if defect == "colour":
        upper = (0.60, 0.38, 0.16) if fault.random() < 0.5 else (0.22, 0.30, 0.60)
        canvas.mark(canvas.cover(np.maximum(sound, y)))
    halves = np.where(y[..., None] < 0, np.array(upper) + tint, np.array([0.90, 0.86, 0.74]) + tint)
    roundness = np.clip(-body / 0.17, 0, 1)
    canvas.paint(canvas.cover(body), (halves * (0.6 + 0.45 * np.sqrt(roundness))[..., None]).astype(np.float32))
    canvas.paint(canvas.cover(np.maximum(body, np.abs(y) - 0.012)), (0.08, 0.32, 0.24), 0.6)
    shine = box(*place(x, y, (-0.06, 0.0)), 0.018, 0.22, 0.018)
    canvas.paint(canvas.cover(np.maximum(shine, body + 0.03), 0.03), (1.0, 1.0, 1.0), 0.55)
    if defect == "leak":
        spot = (fault.uniform(-0.12, 0.12), fault.uniform(-0.3, 0.3))
        pool = puddle(*place(x, y, spot), fault, fault.uniform(0.11, 0.18))
        canvas.paint(canvas.cover(pool, 0.03), (0.50, 0.40, 0.16), 0.85)
        canvas.mark(canvas.cover(pool))


CHIPS = [((-0.30, -0.25), 0.26, 0.20), ((0.42, 0.38), 0.20, 0.24)]
SMALL_PARTS = [((0.25, -0.55), 0), ((0.50, -0.55), 0), ((0.62, -0.22), 90), ((0.36, -0.22), 90), ((-0.55, 0.42), 0)]
SMALL_PARTS += [((-0.25, 0.42), 0), ((-0.40, 0.62), 90)]
TRACES = [
    [(-0.30, -0.05), (-0.30, 0.2), (-0.55, 0.3), (-0.55, 0.42)],
    [(-0.15, -0.05), (-0.15, 0.2), (-0.25, 0.3), (-0.25, 0.42)],
    [(-0.04, -0.25), (0.15, -0.25), (0.25, -0.4), (0.25, -0.55), (0.5, -0.55)],
    [(-0.04, -0.15), (0.2, -0.1), (0.36, -0.22), (0.62, -0.22)],
    [(0.42, 0.14), (0.42, 0.0), (0.3, -0.05), (0.36, -0.22)],
    [(0.22, 0.45), (0.0, 0.45), (-0.1, 0.62), (-0.40, 0.62)],
    [(0.55, 0.14), (0.62, 0.05), (0.62, -0.22)],
]


def board(canvas: Canvas, defect: str) -> None:
    """Draw a small circuit board; defects ``missing``, ``shifted``, ``crack``, ``burnt``."""
    rng, fault = canvas.rng, canvas.fault_rng
    canvas.paint(np.ones_like(canvas.x), (0.88, 0.87, 0.85))
    x, y = place(canvas.x, canvas.y, rng.uniform(-0.04, 0.04, 2), rng.uniform(-4, 4))
    plate = box(x, y, 0.84, 0.84, 0.06)
    canvas.shade(1 - 0.5 * canvas.cover(np.roll(plate, (8, 8), (0, 1)), 0.08))
    green = np.array([0.07, 0.34, 0.22]) + rng.normal(0, 0.012, 3)
    canvas.paint(canvas.cover(plate), green)
    canvas.shade(1 + 0.02 * canvas.noise(0.03))
    for trace in TRACES:
        canvas.paint(canvas.cover(polyline(x, y, np.array(trace), 0.035)), (0.20, 0.52, 0.30))
    for corner in [(-0.7, -0.7), (0.7, -0.7), (-0.7, 0.7), (0.7, 0.7)]:
        _ring(*canvas.near(*place(x, y, corner), 0.15))
    for number in range(8):
        part, near_x, near_y = canvas.near(*place(x, y, (-0.35 + 0.1 * number, 0.78)), 0.1)
        part.paint(part.cover(box(near_x, near_y, 0.03, 0.05)), (0.82, 0.68, 0.34))
    for centre, width, height in CHIPS:
        _chip(*canvas.near(*place(x, y, np.add(centre, rng.uniform(-0.008, 0.008, 2))), 0.4), width, height)

    chosen = int(rng.integers(len(SMALL_PARTS)))
    for number, (centre, degrees) in enumerate(SMALL_PARTS):
        _pads(*canvas.near(*place(x, y, centre, degrees), 0.2))
        at = place(x, y, np.add(centre, rng.uniform(-0.008, 0.008, 2)), degrees + rng.uniform(-2, 2))
        if number == chosen and defect == "missing":
            canvas.mark(canvas.cover(box(*at, 0.105, 0.06)))
        elif number == chosen and defect == "shifted":
            turned = place(*at, fault.uniform(-0.05, 0.05, 2), fault.choice([-1, 1]) * fault.uniform(30, 70))
            _part(*canvas.near(*turned, 0.2), number)
            canvas.mark(np.maximum(canvas.cover(box(*at, 0.105, 0.06)), canvas.cover(box(*turned, 0.105, 0.06))))
        else:
            _part(*canvas.near(*at, 0.2), number)

    start = rng.uniform(-0.45, 0.45, 2)
    if defect == "crack":
        line = wander(fault, start, fault.uniform(0.7, 1.1), 0.55, 9)
        crack = polyline(x, y, line, fault.uniform(0.035, 0.05))
        on_board = canvas.cover(plate)
        canvas.paint(canvas.cover(crack) * on_board, (0.78, 0.76, 0.62))
        canvas.mark(canvas.cover(crack) * on_board)
    elif defect == "burnt":
        spot = puddle(*place(x, y, start), fault, fault.uniform(0.15, 0.26))
        canvas.paint(canvas.cover(spot, 0.07), (0.10, 0.065, 0.04), 0.85)
        canvas.mark(canvas.cover(spot))


def _ring(canvas: Canvas, x: Array, y: Array) -> None:
    canvas.paint(canvas.cover(disc(x, y, 0.085)), (0.80, 0.66, 0.32))
    canvas.paint(canvas.cover(disc(x, y, 0.05)), (0.75, 0.74, 0.72))


def _chip(canvas: Canvas, x: Array, y: Array, width: float, height: float) -> None:
    for offset in np.linspace(-0.75, 0.75, 5):
        for side in (-1, 1):
            pin = place(x, y, (offset * width, side * (height + 0.03)))
            canvas.paint(canvas.cover(box(*pin, 0.018, 0.035)), (0.78, 0.78, 0.76))
    canvas.paint(canvas.cover(box(x, y, width, height, 0.015)), (0.13, 0.13, 0.14))
    canvas.paint(canvas.cover(box(x, y, width - 0.03, height - 0.03, 0.01)), (0.19, 0.19, 0.20))
    canvas.paint(canvas.cover(disc(*place(x, y, (0.07 - width, 0.07 - height)), 0.025)), (0.4, 0.4, 0.4))


def _pads(canvas: Canvas, x: Array, y: Array) -> None:
    for side in (-1, 1):
        canvas.paint(canvas.cover(box(*place(x, y, (side * 0.085, 0.0)), 0.035, 0.06)), (0.80, 0.66, 0.32))


def _part(canvas: Canvas, x: Array, y: Array, number: int) -> None:
    body: Colour = (0.70, 0.52, 0.34) if number % 2 else (0.12, 0.12, 0.15)
    canvas.paint(canvas.cover(box(x, y, 0.105, 0.05, 0.01)), (0.82, 0.82, 0.82))
    canvas.paint(canvas.cover(box(x, y, 0.07, 0.05)), body)
