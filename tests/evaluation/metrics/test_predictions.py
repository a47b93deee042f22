"""What is told of a classifier's predictions, against torchmetrics and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.metrics import PassThrough, seeded
from scipy.stats import entropy as scipy_entropy
from torchmetrics.image.inception import InceptionScore

from genrun.evaluation.metrics.predictions import accuracy_by_class, class_counts, entropy, inception_score

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning:torchmetrics"
)  # that it keeps features, which is what is wanted


def test_the_inception_score_agrees_with_torchmetrics():
    logits = 3 * torch.randn(400, 7, generator=seeded(), dtype=torch.float64)
    mean, deviation = inception_score(logits, splits=1)
    metric = InceptionScore(feature=PassThrough(7), splits=1)
    metric.update(logits)
    assert mean == pytest.approx(metric.compute()[0].item(), rel=1e-9)
    assert deviation == 0
    assert 1 < mean < 7


def test_the_inception_score_of_parts_is_their_mean_and_deviation():
    logits = 3 * torch.randn(90, 7, generator=seeded(), dtype=torch.float64)
    parts = [inception_score(part, splits=1)[0] for part in logits.split(30)]
    expected = np.mean(parts), np.std(parts, ddof=1)
    np.testing.assert_allclose(inception_score(logits, splits=3), expected, rtol=1e-9)


def test_the_inception_score_lies_between_1_and_the_number_of_classes():
    sure = 1000 * torch.eye(10).repeat(20, 1)  # classes in turn, and not a doubt
    assert inception_score(sure) == pytest.approx((10, 0), abs=1e-6)
    assert inception_score(torch.randn(1, 10, generator=seeded()).repeat(200, 1)) == pytest.approx((1, 0), abs=1e-6)
    half = 1000 * torch.eye(10)[:5].repeat(40, 1)
    assert inception_score(half)[0] == pytest.approx(5, rel=1e-6)
    with pytest.raises(ValueError, match="in 10 parts needs at least 20 images, got 19"):
        inception_score(sure[:19])


def test_entropy_is_scipys():
    for counts in ([3, 1, 4, 1, 5], [10, 0, 30], [7]):
        assert entropy(counts) == pytest.approx(scipy_entropy(counts), abs=1e-12)
    assert entropy([8] * 10) == pytest.approx(np.log(10))


def test_classes_are_counted_and_judged_one_by_one():
    predicted, labels = torch.tensor([0, 2, 2, 1, 0, 2]), torch.tensor([0, 2, 1, 1, 1, 2])
    assert class_counts(predicted, 5) == [2, 1, 3, 0, 0]
    found = accuracy_by_class(predicted, labels, 4)
    assert found == [1, pytest.approx(1 / 3), 1, None]  # no image of the last class
