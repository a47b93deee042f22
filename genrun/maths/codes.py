"""Codes that are kept for each image of a training set: how they move, and how they are brought to unit moments."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional as F


def pairwise_separation(codes: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """How well a line tells two classes apart in the first two principal components of all codes.

    ½(share of the one class on its side + share of the other on its own) of Fisher's linear discriminant, at the middle between both
    means: ½ is chance.

    Args:
        codes: (N, D).
        labels: (N,).

    Returns:
        (num_classes, num_classes) float64, symmetric, 1 on the diagonal; NaN where a class has fewer than two codes.
    """
    codes = codes.detach().double().cpu()
    centred = codes - codes.mean(0)
    _, _, components = torch.linalg.svd(centred, full_matrices=False)
    plane = centred @ components[:2].T  # (N, 2)
    clouds = [plane[labels.cpu() == label] for label in range(num_classes)]
    result = torch.eye(num_classes, dtype=torch.float64)
    for i, j in combinations(range(num_classes), 2):
        one, other = clouds[i], clouds[j]
        if min(len(one), len(other)) < 2:
            result[i, j] = result[j, i] = torch.nan
            continue
        within = sum((cloud - cloud.mean(0)).T @ (cloud - cloud.mean(0)) / len(cloud) for cloud in (one, other))
        direction = torch.linalg.pinv(within) @ (one.mean(0) - other.mean(0))
        middle = (one.mean(0) + other.mean(0)) / 2
        # on its own side: 1, on the line itself: ½
        right = [((cloud - middle) @ direction * side).sign().mean() for cloud, side in ((one, 1), (other, -1))]
        result[i, j] = result[j, i] = (2 + sum(right)) / 4
    return result


class RowMoments:
    r"""Adam's moments for each row of a table (Kingma & Ba, 2015), which change only when that row is visited.

        m ← β₁m + (1 - β₁)g,   v ← β₂v + (1 - β₂)g²,   step = m/(1 - β₁ᵗ) / (√(v/(1 - β₂ᵗ)) + ε)

    with t the visits of the row itself.

    Args:
        rows, size: of the table, (N, D).
        beta1, beta2, epsilon: β₁, β₂, ε.
    """

    def __init__(self, rows: int, size: int, beta1: float = 0.9, beta2: float = 0.99, epsilon: float = 1e-8) -> None:
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.state = [torch.zeros(rows, width) for width in (size, size, 1)]  # m, v, t

    def to(self, like: Tensor) -> None:
        """Move to the device and type of a tensor."""
        self.state = [moment.to(like) for moment in self.state]

    def step(self, index: Tensor, gradient: Tensor) -> Tensor:
        """Visit the rows `index` (B,), each at most once, with their gradient (B, D): the step to subtract, (B, D)."""
        m, v, t = (moment[index] for moment in self.state)
        m, v, t = m.lerp(gradient, 1 - self.beta1), v.lerp(gradient.square(), 1 - self.beta2), t + 1
        for moment, value in zip(self.state, (m, v, t), strict=True):
            moment[index] = value
        return (m / (1 - self.beta1**t)) / ((v / (1 - self.beta2**t)).sqrt() + self.epsilon)


def class_means(codes: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Mean of the codes (N, D) in each class: (num_classes, D); zero for a class without codes."""
    member = F.one_hot(labels, num_classes).to(codes)  # (N, K)
    return (member.T @ codes) / member.sum(0).clamp(min=1).unsqueeze(1)


def whitened(codes: Tensor, labels: Tensor, num_classes: int, variance: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Codes with zero mean in each class and covariance `variance`·I within classes.

        L' = A⁻¹(L - μ_y),   A = (C / variance)^½,   C the covariance of L - μ_y over all codes

    Args:
        codes: (N, D).
        labels: (N,).

    Returns:
        L' (N, D), μ (num_classes, D) and the symmetric A (D, D).
    """
    mean = class_means(codes, labels, num_classes)
    centred = codes - mean[labels]
    values, vectors = torch.linalg.eigh((centred.T @ centred / len(centred) / variance).double())
    scale = values.clamp(min=1e-6).sqrt()
    root, inverse = (((vectors * each) @ vectors.T).to(codes) for each in (scale, 1 / scale))
    return centred @ inverse, mean, root
