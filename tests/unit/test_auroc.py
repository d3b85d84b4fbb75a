"""Image metrics on cases with known answers, and their errors."""

import numpy as np
import pytest

from tfcore.errors import UserError
from tfcore.metrics.auroc import f1_max, image_ap, image_auroc


def test_known_cases():
    labels = np.array([0, 0, 1, 1])
    assert image_auroc(np.array([1, 2, 3, 4]), labels) == 1.0
    assert image_auroc(np.array([4, 3, 2, 1]), labels) == 0.0
    assert image_auroc(np.zeros(4), labels) == 0.5
    assert image_auroc(np.array([1, 2, 2, 3]), labels) == 0.875
    assert image_ap(np.array([1, 3, 2, 4]), labels) == pytest.approx((1 + 2 / 3) / 2)


def test_f1_max_names_its_threshold():
    labels = np.array([0, 0, 1, 1])
    assert f1_max(np.array([1, 2, 3, 4]), labels) == (1.0, 3.0)
    value, threshold = f1_max(np.array([1, 3, 2, 4]), labels)
    assert (value, threshold) == (pytest.approx(0.8), 2.0)
    assert f1_max(np.zeros(4), labels) == (pytest.approx(2 / 3), 0.0)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([1.0, 2.0], [0, 0], "no anomalous"),
        ([1.0, 2.0], [1, 1], "no normal"),
        ([1.0, np.nan], [0, 1], "image 1 is NaN"),
        ([1.0], [0, 1], "must be equal"),
        ([1.0, 2.0], [0, 2], "must be 0"),
        ([1.0, 2.0], [0.1, 1], "must be 0"),
        ([["a"], ["b"]], [[0], [1]], "shape"),
        (["a", "b"], [0, 1], "real numbers"),
    ],
)
def test_errors(scores, labels, message):
    with pytest.raises(UserError, match=message):
        image_auroc(np.array(scores), np.array(labels))
