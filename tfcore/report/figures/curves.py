"""Figures that are curves: the sweeps over λ and the filter (Figs. 7 and 8), and the losses of training."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfcore.metrics.gather import read_metrics
from tfcore.report.figures.style import COLOURS, line_look, save, use_style
from tfcore.report.measured import METRICS, Measured, Source
from tfcore.runs.needed import shown_runs
from tfcore.runs.stages import shared_run, stage_settings
from tfcore.settings.variants import Settings

SWEEPS = {"lambda": "λ, weight of $M_{disc}$", "kernel": "side of the mean filter (pixels)"}
NO_TERMS = ("step", "epoch", "learning_rate", "images_per_second", "category")  # columns of a log beside its losses


def sweep_data(kind: str, measured: Measured) -> pd.DataFrame:
    """Return the averages of the baseline at every sweep point: dataset, metric, point, value in per cent, categories.

    ``kind`` is ``lambda`` or ``kernel``. A dataset whose points have different categories is not comparable along
    the curve and is cut to the categories that all points have.
    """
    baseline, rows = measured.baseline, []
    points = [Source(baseline.variant, point) for point in measured.points(f"{kind}=", baseline)]
    for dataset, metric in product(measured.settings.run.datasets, METRICS):
        there = [each for each in points if measured.measured_categories(dataset, metric.name, each)]
        common, total = measured.measured_categories(dataset, metric.name, *there), len(measured.categories(dataset))
        for each in there:
            cell = measured.average(dataset, metric.name, each, only=common)
            if cell.value is not None:
                point = float(each.point.removeprefix(f"{kind}="))
                rows.append((measured.title(dataset), metric.name, point, cell.value, len(common), total))
    return pd.DataFrame(rows, columns=["dataset", "metric", kind, "value", "categories", "of"])


def sweep_figure(kind: str, metrics: Path, settings: Settings, out: Path) -> None:
    """Draw both metrics over λ (Fig. 7) or the filter's side (Fig. 8) as ``out``.{png,svg,csv}; best points ringed."""
    data = sweep_data(kind, Measured(read_metrics(metrics), settings))
    use_style()
    figure = Figure(figsize=(3.6 * len(METRICS), 2.9))
    for axes, metric in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        _sweep_axes(axes, data[data["metric"] == metric.name], kind)
        axes.axvline(setting_used(kind, settings), color="#888888", linewidth=1, linestyle=":", zorder=0)
        axes.set(xlabel=SWEEPS[kind], ylabel=f"{metric.title} (%)")
    save(figure, out, data)


def setting_used(kind: str, settings: Settings) -> float:
    """Return the λ or the filter's side of the baseline's scores, which the tables show."""
    score = stage_settings(settings, "score", settings.tables.baseline)["score"]
    return float(score[kind])


def curve_name(curve: pd.DataFrame) -> str:
    """Return the dataset of one curve of `sweep_data`, and of how many categories it is while incomplete."""
    dataset, count, total = (curve[column].iloc[0] for column in ("dataset", "categories", "of"))
    return str(dataset) if count == total else f"{dataset} ({count}/{total} categories)"


def _sweep_axes(axes: Axes, data: pd.DataFrame, kind: str) -> None:
    if data.empty:
        axes.text(0.5, 0.5, "not measured yet", ha="center", va="center", transform=axes.transAxes, color="#666666")
        return
    for index, (_, curve) in enumerate(data.groupby("dataset", sort=False)):
        look, best = line_look(index), curve.iloc[int(curve["value"].argmax())]
        axes.plot(curve[kind], curve["value"], label=f"{curve_name(curve)}: best at {best[kind]:g}", **look)
        axes.plot(best[kind], best["value"], "o", markersize=10, markerfacecolor="none", color=look["color"])
    axes.margins(y=0.25)
    axes.legend(loc="best", fontsize=8)


def loss_figure(dataset: str, settings: Settings, out: Path) -> None:
    """Draw the losses of the baseline's training by epoch, a panel per category, as ``out``.{png,svg,csv}."""
    runs = [shared_run(settings, "train", run) for run in shown_runs(settings, dataset)]
    logs = {run.category: pd.read_csv(run.losses) for run in runs if run.losses.exists()}
    terms = list(dict.fromkeys(name for log in logs.values() for name in log.columns if name not in NO_TERMS))
    terms = terms[-1:] + terms[:-1]  # the total is the last one
    use_style()
    columns = min(len(runs), 5)
    rows = -(-len(runs) // columns)
    figure = Figure(figsize=(1.8 * columns + 0.8, 1.6 * rows + 0.8))
    panels: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, run in zip(panels, runs, strict=False):
        _loss_axes(axes, run.category, logs.get(run.category), terms)
    for axes in panels[len(runs) :]:
        axes.set_axis_off()
    handles, labels = next((each for axes in panels if (each := axes.get_legend_handles_labels())[0]), ([], []))
    figure.supxlabel("epoch", fontsize=8)
    figure.legend(handles, labels, loc="outside upper center", ncols=len(terms) if columns > 2 else 2, fontsize=8)
    frames = [log.assign(category=category) for category, log in logs.items() if len(log)]
    shown = ["category", "step", "epoch", *terms]
    save(figure, out, pd.concat(frames)[shown] if frames else pd.DataFrame(columns=shown))


def _loss_axes(axes: Axes, category: str, log: pd.DataFrame | None, terms: list[str]) -> None:
    axes.set_title(category, fontsize=8)
    axes.tick_params(labelsize=7)
    if log is None:
        axes.text(0.5, 0.5, "not trained yet", ha="center", va="center", transform=axes.transAxes, color="#666666")
        return
    for number, (term, colour) in enumerate(zip(terms, ("#333333", *COLOURS), strict=False)):
        values = log[term].to_numpy(dtype=float)
        if np.any(values > 0):  # a loss with weight 0 is not computed
            width = 0.9 if number else 1.4
            marker = "o" if len(values) == 1 else None  # one row draws no line
            shown = np.where(values > 0, values, np.nan)
            axes.plot(log["epoch"], shown, label=term, color=colour, linewidth=width, marker=marker)
    axes.set_yscale("log")
