"""Whiten codes: give them zero mean in each class and equal variance in all directions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def class_means(codes: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Return the mean of the codes (N, D) in each class: (num_classes, D); it is zero for a class without codes."""
    member = F.one_hot(labels, num_classes).to(codes)  # (N, K)
    return (member.T @ codes) / member.sum(0).clamp(min=1).unsqueeze(1)


def whitened(codes: Tensor, labels: Tensor, num_classes: int, variance: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Transform codes so that they have zero mean in each class and the covariance `variance`·I within classes.

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
