"""Image metrics on cases with known answers, and their errors."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from tfcore.metrics.auroc import f1_threshold, image_auroc, image_values
from tfcore.runtime.errors import UserError


def test_known_cases():
    labels = np.array([0, 0, 1, 1])
    assert image_auroc(np.array([1, 2, 3, 4]), labels) == 1.0
    assert image_auroc(np.array([4, 3, 2, 1]), labels) == 0.0
    assert image_auroc(np.zeros(4), labels) == 0.5
    assert image_auroc(np.array([1, 2, 2, 3]), labels) == 0.875
    assert image_values(np.array([1, 3, 2, 4]), labels)["image_ap"] == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("decimals", [8, 1])
def test_equal_to_scikit_learn(decimals):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [30, 50])
    scores = np.round(rng.random(80) + 0.4 * labels, decimals).astype(np.float32)
    values = image_values(scores, labels)
    precision, recall, thresholds = precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / (precision + recall + 1e-300)
    assert values["image_auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert values["image_ap"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert values["f1_max"] == pytest.approx(f1.max(), abs=1e-12)
    assert f1_threshold(scores, labels) in thresholds[np.isclose(f1[:-1], f1.max())]


def test_f1_max_names_its_threshold():
    labels = np.array([0, 0, 1, 1])
    for scores, value, threshold in (([1, 2, 3, 4], 1.0, 3), ([1, 3, 2, 4], 0.8, 2), ([0, 0, 0, 0], 2 / 3, 0)):
        assert image_values(np.array(scores), labels)["f1_max"] == pytest.approx(value)
        assert f1_threshold(np.array(scores), labels) == threshold


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
