"""The losses of a classifier against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrun.maths.classification import CategoricalHinge, CosineSimilarity, CrossEntropy, MeanSquaredError

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 3, 3, 1])


def by_hand(name: str, p: np.ndarray, y: int) -> float:
    one_hot = np.eye(len(p))[y]
    return {
        "CrossEntropy": -np.log(p[y]),
        "CategoricalHinge": max(0.0, 1 + max(np.delete(p, y)) - p[y]),
        "CosineSimilarity": -(p @ one_hot) / np.linalg.norm(p),
        "MeanSquaredError": ((p - one_hot) ** 2).mean(),
    }[name]


@pytest.mark.parametrize("loss", [CrossEntropy, CategoricalHinge, CosineSimilarity, MeanSquaredError])
def test_it_is_its_formula(loss):
    p = np.exp(LOGITS.numpy())
    p /= p.sum(1, keepdims=True)
    expected = [by_hand(loss.__name__, row, y) for row, y in zip(p, LABELS.tolist(), strict=True)]
    np.testing.assert_allclose(loss()(LOGITS, LABELS), expected, rtol=1e-12)


@pytest.mark.parametrize("loss", [CrossEntropy, CategoricalHinge, CosineSimilarity, MeanSquaredError])
def test_it_is_least_where_the_classifier_is_right_and_sure(loss):
    sure = 50 * torch.eye(4, dtype=torch.float64)[LABELS]
    assert (loss()(sure, LABELS) < loss()(LOGITS, LABELS)).all()
