"""The linear probe: codes that are made to be separable, or not, and scikit-learn's own pipeline."""

from __future__ import annotations

import pytest
import torch
from helpers.codes import clouds
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genrun.evaluation.metrics.probe import linear_probe


def test_codes_on_either_side_of_a_plane_are_recognised_whatever_their_scale():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(400, 6, generator=generator)
    labels = (codes[:, 2] > 0).long()
    codes[:, 2] += codes[:, 2].sign()
    codes = codes * torch.tensor([1, 1e4, 1e-4, 1, 1, 0])  # the units that tell nothing are large, one is constant
    assert linear_probe(codes[:300], labels[:300], codes[300:], labels[300:]) == 1


def test_codes_without_a_class_are_recognised_by_chance():
    codes, labels = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)), torch.arange(4000) % 4
    assert linear_probe(codes[:2000], labels[:2000], codes[2000:], labels[2000:]) == pytest.approx(0.25, abs=0.04)


def test_the_accuracy_is_that_of_the_library():
    codes, labels = clouds(600)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    pipeline.fit(codes[:400].numpy(), labels[:400].numpy())
    expected = pipeline.score(codes[400:].numpy(), labels[400:].numpy())
    assert 0.5 < expected < 1
    assert linear_probe(codes[:400], labels[:400], codes[400:], labels[400:]) == pytest.approx(expected, abs=0.006)


def test_one_class_cannot_be_probed():
    with pytest.raises(ValueError, match="class"):
        linear_probe(torch.randn(9, 2), torch.zeros(9), torch.randn(9, 2), torch.zeros(9))
