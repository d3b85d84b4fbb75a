"""Bootstrap: vectorised resamples against resampling for real, grid against exact, means, seeds."""

import numpy as np
import pytest
from test_aupro import some_masks

from tfcore.metrics.aupro import aupro, pixel_ap_of, pixel_auroc_of
from tfcore.metrics.auroc import image_values, weighted_metrics
from tfcore.metrics.intervals import (
    area_to_limit,
    interval,
    mean_interval,
    over_seeds,
    pixel_grid,
    resample_aupro,
    resample_roc_and_ap,
    resampled_counts,
)
from tfcore.metrics.pixels import collect

LABELS = np.repeat([0, 1], [8, 12]).astype(np.uint8)


def test_resamples_keep_the_strata_and_the_seed():
    counts = resampled_counts(LABELS, 50, seed=3)
    assert (counts[:, LABELS == 0].sum(axis=1) == 8).all()
    assert (counts[:, LABELS == 1].sum(axis=1) == 12).all()
    assert (counts == resampled_counts(LABELS, 50, seed=3)).all()
    assert (counts != resampled_counts(LABELS, 50, seed=4)).any()


@pytest.mark.parametrize("decimals", [8, 1])
def test_image_metrics_equal_scoring_the_drawn_images(decimals):
    rng = np.random.default_rng(0)
    scores = np.round(rng.random(20) + 0.3 * LABELS, decimals).astype(np.float32)
    counts = resampled_counts(LABELS, 30)
    resampled = weighted_metrics(scores, LABELS, counts)
    for row, count in enumerate(counts):
        drawn = np.repeat(np.arange(20), count.astype(int))
        for name, value in image_values(scores[drawn], LABELS[drawn]).items():
            assert resampled[name][row] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("tail", [1, 8])
def test_pixel_metrics_near_scoring_the_drawn_images(tail):
    rng = np.random.default_rng(1)
    masks = some_masks(rng, 12, 32)
    labels = masks.any(axis=(1, 2)).astype(np.uint8)
    maps = np.exp(tail * (rng.standard_normal(masks.shape) + 1.2 * masks)).astype(np.float32)
    counts = np.vstack([np.ones(12), resampled_counts(labels, 10)])
    grid = pixel_grid(maps, masks, collect(maps, masks))
    on_regions = resample_aupro(grid, counts, 0.3)
    auroc, ap = resample_roc_and_ap(grid, counts)
    for row, count in enumerate(counts):
        drawn = np.repeat(np.arange(12), count.astype(int))
        pixels = collect(maps[drawn], masks[drawn])
        assert on_regions[row] == pytest.approx(aupro(maps[drawn], masks[drawn]), abs=2e-3)
        assert auroc[row] == pytest.approx(pixel_auroc_of(pixels), abs=1e-3)
        assert ap[row] == pytest.approx(pixel_ap_of(pixels), abs=2e-2)


def test_grid_is_exact_on_few_distinct_scores():
    rng = np.random.default_rng(2)
    masks = some_masks(rng)
    maps = rng.integers(0, 6, masks.shape).astype(np.uint8)
    grid = pixel_grid(maps, masks, collect(maps, masks))
    for limit in (0.05, 0.3, 1.0):
        exact = aupro(maps, masks, limit)
        assert resample_aupro(grid, np.ones((1, len(maps))), limit)[0] == pytest.approx(exact, abs=1e-12)


def test_resamples_without_a_region_are_left_out():
    rng = np.random.default_rng(3)
    masks = some_masks(rng)
    maps = rng.random(masks.shape)
    grid = pixel_grid(maps, masks, collect(maps, masks))
    counts = np.ones((3, len(maps)))
    counts[1, grid.regions > 0] = 0
    assert resample_aupro(grid, counts, 0.3).size == 2
    assert [values.size for values in resample_roc_and_ap(grid, counts)] == [2, 2]


def test_area_ends_on_a_straight_line_at_the_limit():
    x, y = np.array([[0.0, 0.2, 0.2, 1.0]]), np.array([[0.0, 0.4, 0.6, 1.0]])
    assert area_to_limit(x, y, 0.3)[0] == pytest.approx(0.04 + 0.1 * (0.6 + 0.65) / 2)
    assert area_to_limit(x, y, 1.0)[0] == pytest.approx(0.04 + 0.8 * 0.8)


def test_interval_covers_a_known_error():
    """AUROC of normal scores one deviation apart is Φ(1/√2) = 0.7602; about 95 % of intervals must hold it."""
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], [60, 100])
    counts = resampled_counts(labels, 200)
    inside = 0
    for _ in range(100):
        scores = rng.standard_normal(160) + labels
        low, high = interval(weighted_metrics(scores, labels, counts)["image_auroc"], 0.95)
        inside += low <= 0.7602 <= high
    assert 87 <= inside <= 99


def test_no_interval_where_resampling_shows_no_spread():
    scores = LABELS.astype(np.float32)
    perfect = weighted_metrics(scores, LABELS, resampled_counts(LABELS, 50))["image_auroc"]
    assert (perfect == 1).all()
    assert interval(perfect, 0.95) == (None, None)
    assert interval(np.append(perfect, 0.9), 0.95) != (None, None)
    assert mean_interval([[1.0] * 4]) == (None, None)


def test_mean_interval_over_categories():
    values = list(np.linspace(0.9, 1.0, 15))
    low, high = mean_interval([values])
    spread = np.std(values) / 15**0.5
    assert low == pytest.approx(0.95 - 1.96 * spread, abs=2e-3)
    assert high == pytest.approx(0.95 + 1.96 * spread, abs=2e-3)
    narrow = mean_interval([[0.5] * 3, values])
    assert narrow[1] - narrow[0] == pytest.approx((high - low) / 2, rel=0.1)
    assert mean_interval([[0.9, 0.8]]) == (None, None)
    assert mean_interval([values], resamples=0) == (None, None)


def test_over_seeds():
    assert over_seeds([0.5]) == {"mean": 0.5, "sd": None, "n": 1}
    summary = over_seeds([0.4, 0.6])
    assert (summary["mean"], summary["n"]) == (0.5, 2)
    assert summary["sd"] == pytest.approx(0.2 / 2**0.5)
