"""The separation of classes against scikit-learn and cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.codes import clouds
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from genrun.evaluation.metrics.separation import pairwise_separation


def test_separation_is_that_of_a_linear_discriminant_in_two_components():
    codes, labels = clouds()
    table = pairwise_separation(codes, labels, 3)
    plane = PCA(2).fit_transform(codes.numpy())
    for i, j in ((0, 1), (0, 2), (1, 2)):
        at = np.isin(labels, (i, j))
        truth = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5]).fit(plane[at], labels[at])
        assert table[i, j].item() == pytest.approx(
            truth.score(plane[at], labels[at]), abs=0.011
        )  # covariances ÷ N, N - 2
    assert torch.equal(table, table.T) and table.diagonal().tolist() == [1, 1, 1]


def test_separation_of_classes_far_apart_is_one_and_of_equal_ones_one_half():
    codes, labels = clouds(6000, 2)
    table = pairwise_separation(codes + 100 * labels[:, None], labels, 3)
    assert table[0, 1] == 1 and table[0, 2].isnan() and table[1, 2].isnan()
    assert pairwise_separation(torch.ones(6, 5), labels[:6], 2)[0, 1] == 0.5
    noise = torch.randn(6000, 5, generator=torch.Generator().manual_seed(1))
    assert pairwise_separation(noise, labels, 2)[0, 1].item() == pytest.approx(0.5, abs=0.03)
