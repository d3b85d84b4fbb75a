"""Small SVG charts of the report page, drawn with its own colours, so they follow light, dark and print."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, copysign, floor, isfinite, log10

from markupsafe import Markup


@dataclass(frozen=True)
class Line:
    """One curve: its name and its points (x, y), in the order of x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Bar:
    """One row of the difference chart, in percentage points; ``None`` = not measured, not published."""

    label: str
    measured: float | None
    published: float | None
    group: str = ""


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about ``count`` round numbers that span low … high."""
    span = (high - low) or 1.0
    raw = span / count
    magnitude = 10.0 ** floor(log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    if first == last:  # one value on a round number: room on both sides
        first, last = first - 1, last + 1
    return [round(number * step, 10) for number in range(first, last + 1)]


def line_chart(lines: Sequence[Line], x_name: str, y_name: str, label: str, chosen: float | None = None) -> Markup:
    """Draw curves with their best points marked, and a vertical line at the ``chosen`` x."""
    width, height, left, right, top, bottom = 460, 300, 44, 14, 30, 42
    points = [point for line in lines for point in line.points if all(map(isfinite, point))]
    if not points:
        return Markup("")
    marks_x, marks_y = (ticks(min(axis), max(axis)) for axis in zip(*points, strict=True))
    x_at = _scale(marks_x[0], marks_x[-1], left, width - right)
    y_at = _scale(marks_y[0], marks_y[-1], height - bottom, top)
    parts = [f'<text class="axis" x="{left - 34}" y="14">{escape(y_name)}</text>']
    for mark in marks_y:
        parts.append(f'<path class="grid" d="M{left} {y_at(mark):.1f}H{width - right}"/>')
        parts.append(f'<text class="tick end" x="{left - 8}" y="{y_at(mark) + 4:.1f}">{mark:g}</text>')
    for mark in marks_x:
        parts.append(f'<text class="tick mid" x="{x_at(mark):.1f}" y="{height - bottom + 18}">{mark:g}</text>')
    parts.append(f'<text class="axis mid" x="{(left + width - right) / 2}" y="{height - 6}">{escape(x_name)}</text>')
    if chosen is not None and marks_x[0] <= chosen <= marks_x[-1]:
        parts.append(f'<path class="chosen" d="M{x_at(chosen):.1f} {top - 6}V{height - bottom}"/>')
    for number, line in enumerate(lines):
        parts += _curve(line, number % 4, [(x_at(x), y_at(y)) for x, y in line.points], x_name)
    return _svg(width, height, label, parts)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Return where on an axis from ``start`` to ``end`` a number between ``low`` and ``high`` lies."""
    return lambda value: start + (value - low) / ((high - low) or 1) * (end - start)


def _path(places: Sequence[tuple[float, float]], colour: int) -> str:
    return f'<path class="line c{colour}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in places)}"/>'


def _dot(kind: str, x: float, y: float, radius: float, title: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{escape(title)}</title></circle>'


def _curve(line: Line, colour: int, places: Sequence[tuple[float, float]], x_name: str) -> list[str]:
    if not places:
        return []
    best = max(range(len(places)), key=lambda index: line.points[index][1])
    parts = [_path(places, colour)]
    for index, ((x, y), (value_x, value_y)) in enumerate(zip(places, line.points, strict=True)):
        kind, radius, remark = ("best", 5, " (best)") if index == best else ("dot", 2.5, "")
        title = f"{line.name}, {x_name} {value_x:g}: {value_y:.2f}{remark}"
        parts.append(_dot(f"{kind} c{colour}", x, y, radius, title))
    return parts


def sparkline(values: Sequence[float], label: str) -> Markup:
    """Draw a positive curve on a logarithmic axis, for small multiples."""
    width, height, edge = 240, 72, 4
    logs = [log10(value) for value in values if isfinite(value) and value > 0]
    if len(logs) < 2:
        return Markup("")
    x_at = _scale(0, len(logs) - 1, edge, width - edge)
    y_at = _scale(min(logs), max(logs), height - edge, edge)
    places = [(x_at(index), y_at(value)) for index, value in enumerate(logs)]
    return _svg(width, height, label, [_path(places, 0)], "spark")


def difference_chart(bars: Sequence[Bar], label: str) -> Markup:
    """Draw what each row changes: bars from zero, published values as hollow marks.

    Lengths are square roots of differences, so that one large effect does not hide all the others.
    """
    width, left, right, row, top = 480, 204, 24, 26, 30
    values = [value for bar in bars for value in (bar.measured, bar.published) if value is not None]
    if not values:
        return Markup("")
    marks = _root_ticks(min(values), max(values))
    height = top + row * len(bars) + 10 + 8 * sum(a.group != b.group for a, b in pairwise(bars))

    scale = _scale(_root(marks[0]), _root(marks[-1]), left, width - right)

    def x_at(value: float) -> float:
        return scale(_root(value))

    parts = []
    for mark in marks:
        kind = "zero" if mark == 0 else "grid"
        parts.append(f'<path class="{kind}" d="M{x_at(mark):.1f} {top - 6}V{height - 8}"/>')
        if mark == 0 or abs(x_at(mark) - x_at(0)) > 24:  # room for its number
            parts.append(f'<text class="tick mid" x="{x_at(mark):.1f}" y="{top - 12}">{_signed(mark)}</text>')
    y, previous = top + row / 2, bars[0].group
    for bar in bars:
        y += 8 if bar.group != previous else 0
        previous = bar.group
        parts += _bar(bar, y, x_at, left)
        y += row
    return _svg(width, height, label, parts, "bars")


def _root(value: float) -> float:
    return copysign(abs(value) ** 0.5, value)


def _signed(value: float) -> str:
    return f"{value:+g}".replace("-", "−") if value else "0"


def _root_ticks(low: float, high: float) -> list[float]:
    """Return round numbers from low to high, spaced like square roots, with zero and at least one beside it."""
    steps = [*pairwise((0.0, 1.0, 5.0, 20.0, 50.0, 100.0))]
    below = [-step for before, step in steps if before < -low]
    above = [step for before, step in steps if before < high]
    return [*reversed(below), 0.0, *above] if below or above else [-1.0, 0.0, 1.0]


def _bar(bar: Bar, y: float, x_at: Callable[[float], float], left: int) -> list[str]:
    parts = [f'<text class="name end" x="{left - 12}" y="{y + 4:.1f}">{escape(bar.label)}</text>']
    if bar.measured is None:
        parts.append(f'<text class="tick" x="{x_at(0) + 6:.1f}" y="{y + 4:.1f}">not measured</text>')
    else:
        start, end = sorted((x_at(0), x_at(bar.measured)))
        kind = "worse" if bar.measured < 0 else "better"
        parts.append(
            f'<rect class="{kind}" x="{start:.1f}" y="{y - 6:.1f}" width="{max(end - start, 1.5):.1f}" height="12">'
            f"<title>{escape(bar.label)}: measured {bar.measured:+.1f} p.p.</title></rect>"
        )
    if bar.published is not None:
        title = f"{bar.label}: published {bar.published:+.1f} p.p."
        parts.append(_dot("published", x_at(bar.published), y, 4.5, title))
    return parts


def strip(measured: float, low: float | None, high: float | None, others: Sequence[tuple[str, float]]) -> Markup:
    """Draw one number with its interval on a scale, other sources as hollow marks; all in per cent."""
    width, height = 300, 34
    values = [measured, *(value for value in (low, high) if value is not None), *(value for _, value in others)]
    centre, reach = (min(values) + max(values)) / 2, max((max(values) - min(values)) * 0.65, 1.0)
    first, last = centre - reach, min(centre + reach, 100.0)

    x_at = _scale(first, last, 8, width - 8)
    parts = [f'<path class="rule" d="M8 14H{width - 8}"/>']
    if low is not None and high is not None:
        parts.append(f'<path class="interval" d="M{x_at(low):.1f} 14H{x_at(high):.1f}"/>')
    parts += [_dot("published", x_at(value), 14, 5, f"{name}: {value:.1f}") for name, value in others]
    parts.append(_dot("best c0", x_at(measured), 14, 5, f"measured: {measured:.1f}"))
    parts.append(f'<text class="tick" x="8" y="31">{first:.1f}</text>')
    parts.append(f'<text class="tick end" x="{width - 8}" y="31">{last:.1f}</text>')
    return _svg(width, height, "", parts, "strip")


def _svg(width: int, height: float, label: str, parts: Sequence[str], kind: str = "") -> Markup:
    body = "".join(parts)
    values = "; ".join(re.findall("<title>(.*?)</title>", body))  # within an image nothing is read aloud but its label
    read = ": ".join(text for text in (escape(label), values) if text)
    head = f'<svg class="chart {kind}" viewBox="0 0 {width} {height:g}" role="img" aria-label="{read}">'
    return Markup(f"{head}{body}</svg>")  # every text that entered was escaped
