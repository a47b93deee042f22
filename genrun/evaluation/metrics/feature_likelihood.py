"""Feature likelihood: how probable real images are under a mixture of Gaussians around the samples.

The Gaussians are fitted to the training images. Around a copy of a training image the Gaussian becomes so narrow that it explains
that image alone: the training images are probable, and test images are not.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

NEAR = 8  # samples nearest to a training image that may explain it: in many dimensions the others are too far
STEPS = 30  # of expectation maximisation
LEAST_VARIANCE = 1e-5  # of that of a feature: rounding to 8 bits changes features by about as much
BASE = 0.9  # distance of a training image to its base Gaussian, of that to the mean of all training images
AT_ONCE = 5000  # images


class Likelihood(NamedTuple):
    """Negative log-likelihoods in hundredths of a nat per feature: 100/d · mean of -log p."""

    train: float
    test: float


def feature_likelihood(samples: Tensor, train: Tensor, test: Tensor) -> Likelihood:
    r"""Return the negative log-likelihood of training and of test images under Gaussians around samples.

        p(x) = 1/m Σ_j N(x | y_j, σ_j² I),   σ = argmax Σ_i log(p(x_i) + N(0.9 (x_i - x̄) | 0, s² I))   over the training images x_i

    All features are brought to mean 0 and deviation 1 of the test images first. The second Gaussian, of fitted width s, is there only for
    the fit: it explains training images that lie near no sample. The feature likelihood divergence is the value of test images less
    that of real images in place of the samples; the generalisation gap is `train` - `test`, and far below 0 if the samples are copies.

    Expectation maximisation fits σ, from σ_j² = min_i |x_i - y_j|² / d. In it only the 8 samples nearest to a training image may explain
    it, so that a step costs no more than a pass over 8 N numbers.

    Args:
        samples, train, test: features (m, d), (N, d) and (n, d).

    References:
        Jiralerspong et al., Feature likelihood divergence: evaluating the generalization of generative models using samples, 2023
        (arXiv 2302.04440), section 3.
    """
    mean, deviation = test.mean(0), test.std(0)
    deviation[deviation == 0] = 1
    samples, train, test = ((part - mean) / deviation for part in (samples, train, test))
    variance = fitted(nearest_samples(train, samples), train)
    return Likelihood(hundredths(train, samples, variance), hundredths(test, samples, variance))


class Near(NamedTuple):
    """The samples nearest to images, of which there are k at most.

    Args:
        squared: (n, k), squared distances.
        which: (n, k), indices of these samples.
        least: (m,), squared distance of each sample to the nearest of all images.
    """

    squared: Tensor
    which: Tensor
    least: Tensor


def nearest_samples(images: Tensor, samples: Tensor) -> Near:
    """Find the samples nearest to each image, given features (n, d) and (m, d) float32."""
    k = min(NEAR, len(samples))
    least, found = torch.full((len(samples),), torch.inf), []
    for part in images.split(AT_ONCE):
        squared = squares_between(part, samples)
        least = torch.minimum(least, squared.amin(0))
        found.append(squared.topk(k, dim=1, largest=False, sorted=False))
    return Near(torch.cat([one.values for one in found]), torch.cat([one.indices for one in found]), least)


def squares_between(images: Tensor, samples: Tensor) -> Tensor:
    """Return the squared distances (n, m) between features (n, d) and (m, d)."""
    found = torch.addmm(samples.square().sum(1), images, samples.T, alpha=-2)
    return found.add_(images.square().sum(1, keepdim=True)).clamp_min_(0)


def fitted(near: Near, train: Tensor) -> Tensor:
    """Return σ² of the Gaussian around each sample (m,), fitted to training images (N, d) by expectation maximisation."""
    d = train.shape[1]
    variance = (near.least / d).clamp_min(LEAST_VARIANCE)
    to_mean = (BASE * (train - train.mean(0))).square().sum(1, keepdim=True)  # (N, 1)
    base = to_mean.mean() / d
    for _ in range(STEPS):
        of_base = log_normal(to_mean, base, d)
        shares = torch.cat([log_terms(near, variance, d), of_base], 1).softmax(1)  # (N, k + 1)
        of_samples, rest = shares[:, :-1].flatten(), shares[:, -1:]
        which = near.which.flatten()
        total = torch.zeros_like(variance).index_add_(0, which, of_samples)
        spread = torch.zeros_like(variance).index_add_(0, which, of_samples * near.squared.flatten())
        explains = total > 1e-6  # a sample that explains nothing keeps the width it began with
        variance = torch.where(explains, spread / (d * total.clamp_min(1e-6)), variance).clamp_min(LEAST_VARIANCE)
        base = ((rest * to_mean).sum() / (d * rest.sum().clamp_min(1e-6))).clamp_min(LEAST_VARIANCE)
    return variance


def log_terms(near: Near, variance: Tensor, d: int) -> Tensor:
    """Return log(N(x_i | y_j, σ_j² I) / m) for the nearest samples of each image: (n, k)."""
    return log_normal(near.squared, variance[near.which], d) - math.log(len(variance))


def log_normal(squared: Tensor, variance: Tensor, d: int) -> Tensor:
    """Return the log-density of a Gaussian with equal variances in d dimensions, at squared distances from its centre."""
    return -squared / (2 * variance) - d / 2 * torch.log(2 * math.pi * variance)


def hundredths(images: Tensor, samples: Tensor, variance: Tensor) -> float:
    """Return the mean negative log-likelihood of images (n, d) in hundredths of a nat per feature.

    All samples count, because where the nearest ones are copies, with narrow Gaussians, an image owes its likelihood to others.
    """
    d, total = samples.shape[1], 0.0
    weights = -d / 2 * torch.log(2 * math.pi * variance) - math.log(len(variance))
    for part in images.split(AT_ONCE):
        log_densities = squares_between(part, samples).div_(-2 * variance).add_(weights)
        total += log_densities.logsumexp(1).double().sum().item()
    return -100 / d * total / len(images)
