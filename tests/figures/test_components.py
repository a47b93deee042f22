"""Principal components of codes against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.codes import clouds
from sklearn.decomposition import PCA

from genrun.figures.components import components, principal


def test_components_are_scikit_learns():
    codes = clouds()[0].numpy()
    values, cloud = principal(codes)
    pca = PCA().fit(codes)
    np.testing.assert_allclose(values, pca.explained_variance_)
    np.testing.assert_allclose(np.abs(cloud), np.abs(pca.transform(codes)[:, :2]), atol=1e-9)


def test_more_numbers_than_codes_give_the_same_components():
    codes = np.random.default_rng(0).normal(size=(30, 4)) @ np.random.default_rng(1).normal(size=(4, 50))
    values, cloud = principal(codes)
    pca = PCA().fit(codes)
    np.testing.assert_allclose(values, np.pad(pca.explained_variance_, (0, 20)), atol=1e-9)
    np.testing.assert_allclose(np.abs(cloud), np.abs(pca.transform(codes)[:, :2]), atol=1e-9)
    # the components themselves, whose largest entry is positive
    vectors, *_ = np.linalg.lstsq(codes - codes.mean(0), cloud, rcond=None)
    assert (vectors[np.abs(vectors).argmax(0), [0, 1]] > 0).all()


def test_two_long_codes_have_one_component():
    values, cloud = principal(np.array([[0.0, 0, 0], [0, 0, 2]]))
    np.testing.assert_allclose(values, [2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(cloud, [[-1, 0], [1, 0]], atol=1e-9)


def test_codes_of_one_dimension_lie_on_a_line():
    values, cloud = principal(np.arange(5.0)[:, None])
    assert values.tolist() == [2.5] and cloud[:, 1].tolist() == [0] * 5
    assert components(np.arange(5.0)[:, None], np.full(5, -1), (), []).size[0] > 100


def test_pairs_have_a_panel_each_and_the_picture_repeats():
    codes, labels = (tensor.numpy() for tensor in clouds())
    one, other = (components(codes, labels, "abc", [(0, 1)] * pairs) for pairs in (1, 2))
    assert other.width > 1.2 * one.width
    again = components(codes, labels, "abc", [(0, 1)])
    assert one.tobytes() == again.tobytes()
    assert np.unique(np.asarray(one).reshape(-1, 3), axis=0).shape[0] > 100  # colours, not a blank sheet


def test_components_refuse_what_is_no_codes():
    for codes, labels in ((np.zeros((1, 3)), np.zeros(1)), (np.zeros((4, 0)), np.zeros(4)), (np.zeros((4, 2)), [0])):
        with pytest.raises(ValueError, match=r"expected codes \(N, D\) and labels"):
            components(codes, labels, "a", [])
    with pytest.raises(ValueError, match="codes must be finite"):
        components(np.array([[1.0], [np.nan]]), np.zeros(2), "a", [])
