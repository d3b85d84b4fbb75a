"""The numbers that the demo promises (docs/results.md), where `make demo` has been run."""

from pathlib import Path

import pandas as pd
import pytest

METRICS = Path(__file__).parents[2] / "runs/demo/results/metrics.csv"
CATEGORIES = {"cloth", "nut", "pills", "board"}


def mean(rows: pd.DataFrame, variant: str, metric: str) -> float:
    """Return the mean over the four categories, of which none may be missing."""
    found = rows[(rows.variant == variant) & (rows.metric == metric) & (rows.point == "main")]
    values = found[found.category != "average"].set_index("category").value
    assert set(values.index) == CATEGORIES and len(values) == 4
    return values.mean()


@pytest.mark.skipif(not METRICS.exists(), reason="no runs/demo: run `make demo` first")
@pytest.mark.parametrize(("metric", "least"), [("image_auroc", 0.90), ("aupro", 0.60)])
def test_the_demo_learns(metric: str, least: float):
    rows = pd.read_csv(METRICS)
    full, untrained = mean(rows, "full", metric), mean(rows, "untrained", metric)
    assert full >= least
    assert full - untrained >= 0.30
