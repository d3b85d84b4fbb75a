"""Invented metrics for the tests of tables and figures; never shown as results."""

import csv
from functools import lru_cache
from pathlib import Path

import numpy as np

from tfcore.methods.registry import load_settings
from tfcore.metrics.rows import COLUMNS
from tfcore.settings.variants import Settings

ROOT = Path(__file__).resolve().parents[2]


@lru_cache(maxsize=1)
def defaults() -> Settings:
    """Return the paper-scale settings."""
    return load_settings(ROOT / "params.yaml")


def paper_settings(tmp_path: Path | None = None, overlay: str = "") -> Settings:
    """Return the paper-scale settings with an overlay of YAML text."""
    if tmp_path is None:
        return defaults()
    (tmp_path / "overlay.yaml").write_text(overlay, encoding="utf-8")
    return load_settings(ROOT / "params.yaml", tmp_path / "overlay.yaml")


DEMO = """
run: {datasets: [demo_mvtec, demo_visa], sweep_variants: [full]}
datasets:
  demo_mvtec: {title: Demo A, layout: mvtec, categories: [cloth, bolt]}
  demo_visa: {title: Demo B, layout: visa, categories: [tray, board]}
variants: {untrained: {train.epochs: 0}}
tables: {compare: [untrained]}
"""


def write_metrics(
    file: Path,
    settings: Settings,
    variants: tuple[str, ...] = ("full",),
    points: tuple[str, ...] = ("main",),
    seeds: tuple[int, ...] = (0,),
    skip: tuple[str, ...] = (),
    method: str = "transfusion",
    intervals: bool = True,
) -> Path:
    """Write one row per run, point and metric, and the averages; categories in ``skip`` have not been measured."""
    rng = np.random.default_rng(0)
    rows = []
    for variant in variants:
        for seed in seeds:
            for point in points:
                for metric in ("image_auroc", "aupro"):
                    means = []
                    for dataset in settings.run.datasets:
                        values = []
                        for category in settings.datasets[dataset].categories:
                            if category in skip:
                                continue
                            values.append(rng.uniform(0.9, 1.0) - (0.2 if variant != "full" else 0))
                            rows.append(
                                row(method, dataset, category, variant, seed, point, metric, values[-1], intervals)
                            )
                        if values:
                            means.append(float(np.mean(values)))
                            rows.append(
                                row(method, dataset, "average", variant, seed, point, metric, means[-1], intervals)
                            )
                    if means:
                        total = float(np.mean(means))
                        rows.append(row(method, "average", "average", variant, seed, point, metric, total, intervals))
    with file.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return file


def row(
    method: str,
    dataset: str,
    category: str,
    variant: str,
    seed: int,
    point: str,
    metric: str,
    value: float,
    interval: bool,
) -> dict[str, object]:
    bounds = (max(value - 0.01, 0.0), min(value + 0.01, 1.0)) if interval else ("", "")
    return dict(
        zip(
            COLUMNS,
            (method, dataset, category, variant, seed, point, metric, value, *bounds, "invented", "", "cpu"),
            strict=True,
        )
    )
