"""t-SNE keeps classes apart, repeats, and leaves the global random states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.codes import clouds

from genrun.figures.tsne import embedding, tsne


def test_neighbours_of_a_point_are_mostly_of_its_class_and_points_repeat():
    codes, labels = (one.numpy() for one in clouds(n=90, size=60))
    np.random.seed(3)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    points = embedding(codes)
    assert np.array_equal(before[0], np.random.get_state()[1]) and torch.equal(before[1], torch.get_rng_state())
    assert points.shape == (90, 2) and np.array_equal(points, embedding(codes))
    distances = np.square(points[:, None] - points).sum(2) + np.diag(np.full(90, np.inf))
    assert (labels[distances.argmin(1)] == labels).mean() > 0.9


@pytest.mark.parametrize("codes", [np.arange(5.0)[:, None], np.ones((6, 3)), np.eye(5)])
def test_few_codes_of_few_units_and_equal_codes_have_places(codes):
    points = embedding(codes)
    assert points.shape == (len(codes), 2) and np.isfinite(points).all()


def test_each_cloud_has_a_panel():
    codes, labels = (one.numpy() for one in clouds(n=30))
    one = tsne({"a": (codes, labels)}, "abc")
    two = tsne({"a": (codes, labels), "b": (codes, np.full(30, -1))}, "abc")
    assert two.width > 1.8 * one.width
    assert np.unique(np.asarray(one).reshape(-1, 3), axis=0).shape[0] > 50
    assert tsne({"a": (codes, np.full(30, -1))}, ()).size == one.size


def test_what_is_no_codes_is_refused():
    with pytest.raises(ValueError, match="N ≥ 5"):
        embedding(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="finite"):
        embedding(np.full((6, 3), np.nan))
    with pytest.raises(ValueError, match="at least one cloud"):
        tsne({}, ())
