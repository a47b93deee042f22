"""Principal components agree with an independent implementation, and their signs are settled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from genrun.maths.principal import principal_components, scores_within_classes


@pytest.mark.parametrize(("n", "size"), [(60, 5), (4, 9)])
def test_components_are_those_of_scikit_learn(n, size):
    codes = torch.randn(n, size, generator=torch.Generator().manual_seed(0)) * torch.arange(1, size + 1) + 4
    found = principal_components(codes)
    real = min(n - 1, size)  # n centred codes span no more
    pca = PCA(real, svd_solver="full").fit(codes.double().numpy())
    assert found.components.shape == (min(n, size), size)
    assert np.allclose(found.mean, pca.mean_)
    assert np.allclose(np.abs(found.components[:real]), np.abs(pca.components_), atol=1e-8)
    assert np.allclose(found.deviations[:real].square(), pca.explained_variance_)
    assert np.allclose(found.shares[:real], pca.explained_variance_ratio_)
    largest = found.components.gather(1, found.components.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()


def test_equal_codes_have_no_variance():
    found = principal_components(torch.ones(3, 2))
    assert found.deviations.tolist() == [0, 0] and found.shares.tolist() == [0, 0]


@pytest.mark.parametrize("codes", [torch.zeros(1, 3), torch.zeros(3), torch.tensor([[0.0], [torch.nan]])])
def test_what_has_no_components_is_refused(codes):
    with pytest.raises(ValueError, match="codes must be"):
        principal_components(codes)


def test_scores_within_classes_are_those_of_scikit_learn():
    images = torch.rand(90, 2, 4, 3, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 25).view(2, 4, 3)
    labels = torch.arange(90) % 3
    images += 10 * labels.view(-1, 1, 1, 1)
    found = scores_within_classes(lambda index: images[index], labels, 3, 5, chunk=40)
    centred = torch.cat([images[labels == y] - images[labels == y].mean(0) for y in range(3)]).flatten(1)
    truth = PCA(5, svd_solver="full").fit_transform(centred.double().numpy())
    order = torch.cat([(labels == y).nonzero().flatten() for y in range(3)])
    assert found.shape == (90, 5)
    assert np.allclose(np.abs(found[order]), np.abs(truth), atol=1e-3)


def test_large_images_are_scaled_down_before_their_scores():
    small = torch.rand(30, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    labels = torch.zeros(30, dtype=torch.long)
    ours, theirs = (scores_within_classes(lambda i, x=x: x[i], labels, 1, 20, side=4) for x in (large, small))
    assert ours.shape == (30, 16)
    torch.testing.assert_close(ours, theirs)
