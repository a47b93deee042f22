"""Gaussians and mixtures of codes against numpy, scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from genrun.maths.mixtures import RIDGE, ClassMixture


def codes_and_labels(n=900):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    codes = torch.randn(n, 3, generator=generator) @ torch.randn(3, 3, generator=generator) + 4 * labels.unsqueeze(1)
    return codes, labels


def test_one_component_is_the_sample_mean_and_covariance():
    codes, labels = codes_and_labels()
    mixture = ClassMixture(2, 3)
    mixture.fit(codes, labels)
    for label in (0, 1):
        mine = codes[labels == label].double().numpy()
        covariance = np.cov(mine.T) + RIDGE * mine.var(0, ddof=1).mean() * np.eye(3)
        np.testing.assert_allclose(mixture.means[label, 0], mine.mean(0), rtol=1e-5)
        factor = mixture.factors[label, 0].double()
        np.testing.assert_allclose(factor @ factor.T, covariance, rtol=1e-4, atol=1e-5)
        truth = multivariate_normal(mine.mean(0), covariance).logpdf(codes.numpy())
        ours = mixture.log_prob(codes, torch.full_like(labels, label))
        np.testing.assert_allclose(ours, truth, rtol=1e-3, atol=1e-3)


def test_samples_have_the_moments_of_their_class():
    codes, labels = codes_and_labels()
    mixture = ClassMixture(2, 3)
    mixture.fit(codes, labels)
    drawn = mixture.sample(torch.ones(40000, dtype=torch.long), generator=torch.Generator().manual_seed(1))
    mine = codes[labels == 1]
    torch.testing.assert_close(drawn.mean(0), mine.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), mine.T.cov(), atol=0.15, rtol=0.03)


def test_several_components_agree_with_scikit_learn():
    codes, labels = codes_and_labels()
    mixture = ClassMixture(2, 3, components=3)
    mixture.fit(codes, labels)
    mine = codes[labels == 0].double().numpy()
    ridge = RIDGE * mine.var(0, ddof=1).mean()
    truth = GaussianMixture(3, reg_covar=ridge, random_state=0).fit(mine).score_samples(mine)
    ours = mixture.log_prob(codes[labels == 0], torch.zeros(len(mine), dtype=torch.long))
    np.testing.assert_allclose(ours, truth, rtol=2e-3, atol=2e-3)
    drawn = mixture.sample(torch.zeros(40000, dtype=torch.long), generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(drawn.mean(0), mine.mean(0), atol=0.05)


def test_a_class_without_codes_is_refused():
    codes, labels = codes_and_labels()
    with pytest.raises(ValueError, match="at least 2 codes in class 2, there are 0"):
        ClassMixture(3, 3).fit(codes, labels)
    with pytest.raises(ValueError, match="at least 1 component, got 0"):
        ClassMixture(2, 3, components=0)
