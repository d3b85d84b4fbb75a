"""Figures that are pictures: the reverse process (Fig. 3), reconstructions (5), failures (6), examples (9 and 10).

Which images are shown follows from a rule on their scores, never from a choice by eye. All anomaly maps of a
figure have the same colour scale.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from tfcore.report.figures.style import MAP_COLOURS, same_scale, save, use_style
from tfcore.report.figures.test_images import Choice, Samples, Tile, read_samples
from tfcore.runs.needed import shown_runs
from tfcore.runtime.errors import UserError
from tfcore.settings.variants import Settings

Panel = NDArray[Any]  # (H, W, 3) uint8 image, or (H, W) map
TRACE_COLUMNS = 8
TITLES = {"truth": "ground truth", "map": "anomaly map"}


def reverse_figure(trace: Path, out: Path) -> None:
    """Draw x_t, M_t, ε_t and n_t of one image along the reverse process (Fig. 3) as ``out``.{png,svg,csv}.

    At most eight steps, evenly spaced from t = T to 1, then x_0. ``trace`` is what `python -m tfcore trace` writes.
    """
    try:
        with safe_open(trace, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in ("t", "x_t", "mask", "anomaly", "normal", "x_0")}
            header = file.metadata() or {}
    except FileNotFoundError as error:
        raise UserError(f"{trace}: no such file; make it by `python -m tfcore trace`") from error
    except (OSError, SafetensorError) as error:
        raise UserError(f"{trace}: cannot be read as a trace: {error}") from error
    steps = tensors["t"].tolist()
    shown = sorted({int(place) for place in np.linspace(0, len(steps) - 1, TRACE_COLUMNS).round()})
    use_style()
    figure = Figure(figsize=(1.0 * len(shown) + 1.4, 4.2))
    grid = figure.subplots(4, len(shown) + 1, squeeze=False)
    scale = Normalize(0, 1)
    for column, step in enumerate(shown):
        for row, name in enumerate(("x_t", "mask", "anomaly", "normal")):
            values = tensors[name][step]
            _draw(grid[row, column], values if name == "mask" else _pixels(values), scale)
        grid[0, column].set_title(f"t = {steps[step]}", fontsize=8)
    _draw(grid[0, -1], _pixels(tensors["x_0"]), scale)
    grid[0, -1].set_title("x₀", fontsize=8)
    for axes in grid[1:, -1]:
        axes.set_axis_off()
    for axes, label in zip(grid[:, 0], ("$x_t$", "$M_t$", "$\\epsilon_t$", "$n_t$"), strict=True):
        axes.set_ylabel(label, rotation=0, ha="right", va="center")
    changes = np.abs(np.diff([*tensors["x_t"], tensors["x_0"]], axis=0)).mean(axis=(1, 2, 3))
    data = pd.DataFrame({"t": steps, "mean_mask": tensors["mask"].mean(axis=(1, 2)), "mean_change_of_x": changes})
    save(figure, out, data.assign(file=header.get("file", ""), defect=header.get("defect", "")))


def _pixels(image: NDArray[Any]) -> Panel:
    """Turn an image (3, H, W) in [-1, 1] into uint8 (H, W, 3)."""
    levels: Panel = ((np.clip(image, -1, 1) + 1) * 127.5).round().astype(np.uint8)
    return levels.transpose(1, 2, 0)


def reconstruction_figure(dataset: str, settings: Settings, out: Path) -> None:
    """Draw an anomalous image of each category (of median score) with reconstruction and map (Fig. 5)."""
    _sheet(dataset, settings, lambda samples: samples.typical(1), ("image", "reconstruction", "map", "truth"), out)


def failure_figure(dataset: str, settings: Settings, out: Path) -> None:
    """Draw each category's worst failures (Fig. 6): highest-scored normal and lowest-scored anomalous image."""
    _sheet(dataset, settings, Samples.worst, ("image", "overlay", "map", "truth"), out)


def example_figure(dataset: str, settings: Settings, out: Path, count: int = 3) -> None:
    """Draw ``count`` anomalous images of each category with overlay, map and ground truth (Figs. 9 and 10)."""
    _sheet(dataset, settings, lambda samples: samples.typical(count), ("image", "overlay", "map", "truth"), out)


def _sheet(
    dataset: str, settings: Settings, choose: Callable[[Samples], list[Choice]], columns: Sequence[str], out: Path
) -> None:
    """Draw the chosen images of every category one below the other, in blocks if there are many.

    The data beside the figure say file, score and rank of each.
    """
    every = (read_samples(run, settings) for run in shown_runs(settings, dataset))  # one in memory at a time
    tiles = [tile for samples in every if samples for tile in samples.tiles(choose(samples))]
    use_style()
    blocks = 1 if len(tiles) <= 6 else 2 if len(tiles) <= 24 else 3
    rows = max(-(-len(tiles) // blocks), 1)
    width = len(columns) * blocks
    figure = Figure(figsize=(1.15 * width + 0.9 * blocks, 1.2 * rows + 0.4))
    grid = figure.subplots(rows, width, squeeze=False)
    scale = same_scale(*(tile.final for tile in tiles))
    for axes in grid.flat:
        axes.set_axis_off()
    for place, tile in enumerate(tiles):
        row, first = place % rows, place // rows * len(columns)
        for offset, name in enumerate(columns):
            axes = grid[row, first + offset]
            axes.set_axis_on()
            _draw(axes, _panel(tile, name), scale, tile.final if name == "overlay" else None)
            if row == 0:
                axes.set_title(TITLES.get(name, name), fontsize=8)
        label = f"{tile.run.category}\n{tile.defect}\nscore {tile.score:.3f}"
        grid[row, first].set_ylabel(label, fontsize=7, rotation=0, ha="right", va="center")
    if tiles:
        colours = ScalarMappable(scale, MAP_COLOURS)
        bar = figure.colorbar(colours, ax=grid, location="bottom", shrink=0.4, aspect=40, pad=0.01)
        bar.ax.tick_params(labelsize=7)
        bar.set_label("anomaly map", fontsize=7)
    else:
        grid[0, 0].text(0, 0.5, "no anomaly maps yet", color="#666666")
    save(figure, out, pd.DataFrame([_record(tile, scale) for tile in tiles]))


def _record(tile: Tile, scale: Normalize) -> dict[str, Any]:
    kept = {name: getattr(tile, name) for name in ("file", "defect", "chosen", "score", "rank", "of")}
    limits = {"map_max": float(tile.final.max()), "scale_low": scale.vmin, "scale_high": scale.vmax}
    return {"dataset": tile.run.dataset, "category": tile.run.category} | kept | limits


def _panel(tile: Tile, name: str) -> Panel | None:
    truth = np.repeat(tile.truth[..., None].astype(np.uint8) * 255, 3, axis=2)
    return {"reconstruction": tile.reconstruction, "map": tile.final, "truth": truth}.get(name, tile.image)


def _draw(axes: Axes, panel: Panel | None, scale: Normalize, overlay: Panel | None = None) -> None:
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    if panel is None:
        axes.set_facecolor("#eeeeee")
        axes.text(0.5, 0.5, "not here", ha="center", va="center", fontsize=6, transform=axes.transAxes)
    elif panel.ndim == 2:
        axes.imshow(panel, cmap=MAP_COLOURS, norm=scale)
    else:
        axes.imshow(panel)
    if panel is not None and overlay is not None:
        axes.imshow(overlay, cmap=MAP_COLOURS, norm=scale, alpha=0.9 * np.clip(scale(overlay), 0, 1))
