"""AUPRO against an independent brute-force float64 oracle, closed forms, and the errors it must raise."""

import sys
from collections import deque
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tfcore.metrics.aupro import areas_to_limit, aupro, pixel_ap_of, pixel_auroc_of
from tfcore.metrics.pixels import collect
from tfcore.runtime.errors import UserError


def regions_of(mask):
    """8-connected regions as lists of pixels, by flood fill."""
    left = set(zip(*np.nonzero(mask), strict=True))
    regions = []
    while left:
        queue = deque([left.pop()])
        region = []
        while queue:
            row, column = queue.popleft()
            region.append((row, column))
            for near in [(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    queue.append(near)
        regions.append(region)
    return regions


def curve(maps, masks):
    """(FPR, PRO) by the definition: every distinct score a threshold, one at a time, in float64."""
    maps = maps.astype(np.float64)
    regions = [(index, region) for index, mask in enumerate(masks) for region in regions_of(mask)]
    scores = [np.array([maps[index][pixel] for pixel in region]) for index, region in regions]
    normals = maps[~masks.astype(bool)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        found = [np.count_nonzero(region >= threshold) / region.size for region in scores]
        points.append((np.count_nonzero(normals >= threshold) / normals.size, sum(found) / len(found)))
    return points


def area(points, limit):
    total = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 <= limit:
            total += (x1 - x0) * (y0 + y1) / 2
        elif x0 < limit:
            at_limit = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            total += (limit - x0) * (y0 + at_limit) / 2
    return total / limit


def brute_force(maps, masks, limit=0.3):
    return area(curve(maps, masks), limit)


def some_masks(rng, count=5, size=12):
    masks = np.zeros((count, size, size), dtype=bool)
    for index in range(1, count):
        for _ in range(rng.integers(1, 4)):
            row, column = rng.integers(0, size - 3, 2)
            height, width = rng.integers(1, 6, 2)
            masks[index, row : row + height, column : column + width] = True
    return masks


def kinds(rng, masks):
    noise = rng.standard_normal(masks.shape) + masks * rng.random(masks.shape) * 2
    return {
        "random": noise.astype(np.float32),
        "float64": noise,
        "float16": noise.astype(np.float16),
        "tied": np.round(noise).astype(np.float32),
        "uint8": np.clip(noise * 40 + 100, 0, 255).astype(np.uint8),
        "int16": (noise * 7).astype(np.int16),
        "heavy-tailed": (np.sign(noise) * np.exp(np.abs(noise) * 12)).astype(np.float32),
        "saturated": np.clip(noise, -0.2, 0.2).astype(np.float32),
        "constant": np.full(masks.shape, 0.25, dtype=np.float32),
        "inverted": -noise.astype(np.float32),
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", list(kinds(np.random.default_rng(0), np.zeros((1, 1, 1), dtype=bool))))
def test_equals_brute_force(kind, seed):
    rng = np.random.default_rng(seed)
    masks = some_masks(rng)
    maps = kinds(rng, masks)[kind]
    points = curve(maps, masks)
    for limit in (0.3, 0.05, 1.0):
        assert aupro(maps, masks, limit) == pytest.approx(area(points, limit), abs=1e-9)


def test_sampled_floor_equals_brute_force(monkeypatch):
    """The floor guessed from a few pixels of many must never change the result, even when it is far off."""
    rng = np.random.default_rng(5)
    masks = some_masks(rng, 5, 16)
    ordered = np.sort(rng.standard_normal(masks.size)).reshape(masks.shape).astype(np.float32)
    monkeypatch.setattr("tfcore.metrics.pixels.SAMPLE", 60)
    for maps in (rng.random(masks.shape).astype(np.float32), ordered, -ordered):
        assert aupro(maps, masks) == pytest.approx(brute_force(maps, masks), abs=1e-9)


def test_wrong_floor_is_noticed(monkeypatch):
    rng = np.random.default_rng(6)
    masks = some_masks(rng)
    maps = rng.random(masks.shape).astype(np.float32)
    monkeypatch.setattr("tfcore.metrics.pixels._guessed_floor", lambda *_: np.float32(0.999))
    assert aupro(maps, masks) == pytest.approx(brute_force(maps, masks), abs=1e-9)


def test_closed_forms():
    mask = np.zeros((1, 10, 10), dtype=bool)
    mask[0, 0, :2] = True
    perfect = mask.astype(np.float32)
    assert aupro(perfect, mask) == 1.0
    assert aupro(-perfect, mask) == 0.0
    # One threshold only: a straight line from (0, 0) to (1, 1), whose area to 0.3 is 0.045, divided by 0.3.
    assert aupro(np.zeros_like(perfect), mask) == pytest.approx(0.15)
    # One of the two pixels found at FPR 0, the other never before the limit: PRO is ½ throughout.
    half = np.arange(100, dtype=np.float32).reshape(1, 10, 10)
    half[0, 0, :2] = 1000, -1
    assert aupro(half, mask) == pytest.approx(0.5)


@pytest.mark.parametrize("limit", [0.05, 0.1, 0.3, 0.7])
def test_perfect_maps_never_exceed_one(limit):
    masks = some_masks(np.random.default_rng(7), 9)
    assert 1 - 1e-12 < aupro(masks.astype(np.float32), masks, limit) <= 1


def test_regions_count_alike_whatever_their_size_and_diagonals_connect():
    mask = np.zeros((1, 20, 20), dtype=bool)
    mask[0, 0, 0] = True  # one pixel, found
    mask[0, 5:15, 5:15] = True  # a hundred pixels, missed
    maps = np.zeros((1, 20, 20), dtype=np.float32)
    maps[0, 0, 0], maps[0, 5:15, 5:15] = 1, -1
    normal = ~mask[0]
    maps[0][normal] = np.linspace(0, 0.5, int(normal.sum()))
    assert aupro(maps, mask) == pytest.approx(0.5)
    diagonal = np.eye(4, dtype=bool)[None]
    assert collect(diagonal.astype(float), diagonal).regions.tolist() == [1]


def test_invariant_under_monotone_maps():
    rng = np.random.default_rng(1)
    masks = some_masks(rng)
    maps = rng.standard_normal(masks.shape)
    expected = aupro(maps, masks)
    for transform in (np.exp, np.arctan, lambda x: x**3, lambda x: 5 * x - 2):
        assert aupro(transform(maps), masks) == pytest.approx(expected, abs=1e-12)


def test_pixel_metrics_equal_scikit_learn():
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(2)
    masks = some_masks(rng)
    for name, maps in kinds(rng, masks).items():
        pixels = collect(maps, masks)
        truth, scores = masks.ravel(), maps.astype(np.float64).ravel()
        assert pixel_auroc_of(pixels) == pytest.approx(roc_auc_score(truth, scores), abs=1e-12), name
        assert pixel_ap_of(pixels) == pytest.approx(average_precision_score(truth, scores), abs=1e-12), name


def test_integer_masks_mean_non_zero():
    rng = np.random.default_rng(3)
    masks = some_masks(rng)
    maps = rng.random(masks.shape)
    expected = aupro(maps, masks)
    assert aupro(maps, masks * np.uint8(255)) == expected
    assert aupro(maps, masks.astype(np.float32)) == expected


def test_areas_of_ramps():
    first, last = np.array([0.0, 0.1, 0.2, 0.2, 0.3]), np.array([0.0, 0.1, 0.4, 0.2, 0.5])
    assert areas_to_limit(first, last, 0.3) == pytest.approx([0.3, 0.2, 0.025, 0.1, 0.0])


def test_benchmark_measures_two_ways_to_the_same_number(tmp_path):
    sys.path.insert(0, str(Path(__file__).parents[2]))  # the benchmarks are no part of the package
    from benchmarks.aupro import baseline_aupro, made_up, run

    (row,) = run(tmp_path / "aupro.csv", 1, [(6, 48)])
    assert row["difference"] < 1e-9
    assert row["baseline_gib"] > row["optimised_gib"] > 0
    assert row["optimised_images_per_s"] == pytest.approx(6 / row["optimised_s"])
    head, line = (tmp_path / "aupro.csv").read_text().splitlines()
    assert head.startswith("device,maps,side,") and line.startswith("CPU ")
    maps, masks = made_up(6, 48)
    tied = np.round(maps * 4)
    assert baseline_aupro(tied, masks) == pytest.approx(aupro(tied, masks), abs=1e-9)


def test_errors_instead_of_numbers():
    mask = np.zeros((2, 4, 4), dtype=bool)
    mask[1, 1, 1] = True
    good = np.zeros((2, 4, 4), dtype=np.float32)
    bad = good.copy()
    bad[1, 2, 2] = np.nan
    infinite = np.full((2, 4, 4), np.inf, dtype=np.float16)
    cases = [
        (good, np.zeros_like(mask), "no anomalous pixel"),
        (good, np.ones_like(mask), "no normal pixel"),
        (bad, mask, "map 1 has a value that is NaN"),
        (infinite, mask, "map 0 has a value that is NaN or infinite"),
        (good[:1], mask, "shape"),
        (good[0], mask[0], "shape"),
        (good[:0], mask[:0], "nothing to score"),
        (good.astype(complex), mask, "type"),
        (good, mask * 0.4, "between 0 and 1"),
        (good, mask.astype("U1"), "type"),
    ]
    for maps, masks, message in cases:
        with pytest.raises(UserError, match=message):
            aupro(maps, masks)
    for limit in (0.0, 1.5, float("nan")):
        with pytest.raises(UserError, match="fpr_limit"):
            aupro(good, mask, limit)
