"""One quiet look for every figure: readable in print, in grey and for the colour-blind."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from tfcore.runtime.files import replacing

Pixels = NDArray[np.uint8]

# Okabe and Ito's palette without its yellow, which vanishes on white paper; dark and light alternate for grey prints.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#333333")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
MAP_COLOURS = "inferno"  # anomaly maps: lightness grows with the value, so a grey print keeps the order
DPI = 150

_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.labelcolor": "#222222",
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "figure.constrained_layout.use": True,
    "figure.dpi": DPI,
    "font.size": 9,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "savefig.bbox": "tight",
    "savefig.dpi": DPI,
    "svg.fonttype": "none",  # text stays text: searchable, and small
    "svg.hashsalt": "tfcore",  # ids inside the file do not change from run to run
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}


def use_style() -> None:
    """Set the look for all figures made from here on."""
    mpl.rcdefaults()
    mpl.rcParams.update(_STYLE)


def save(figure: Figure, path: Path | str, data: pd.DataFrame | None = None) -> None:
    """Write ``path`` (no suffix) as ``.png`` and ``.svg`` and its data as ``.csv``; same input, same bytes."""
    for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None, "Creator": None})):
        with replacing(f"{path}{suffix}") as temporary:
            figure.savefig(temporary, metadata=metadata)
        figure.set_layout_engine("none")  # found once: both files have the same layout, and the second is quick
    if data is not None:
        with replacing(f"{path}.csv") as temporary:
            data.to_csv(temporary, index=False, float_format="%.6g")


def same_scale(*arrays: ArrayLike) -> Normalize:
    """Return one colour scale from the smallest to the largest finite value of all arrays: maps stay comparable."""
    finite = np.concatenate([[], *(values[np.isfinite(values)] for values in map(np.asarray, arrays))])
    if finite.size == 0:
        return Normalize(0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    return Normalize(low, high if high > low else low + 1.0)


def line_look(index: int) -> dict[str, Any]:
    """Return colour, marker and dash of the ``index``-th line: three ways to tell it from the others."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }
