"""What a classifier's answers say of samples: inception score, classes, entropy, accuracy."""

from __future__ import annotations

import torch
from torch import Tensor


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    r"""exp of the mean KL divergence of p(y|x) from the mean p(y), by the classifier whose logits (n, K) these are.

    1: every image gets the same answer. K: each gets a sure one, and all classes come equally often.

    Returns:
        Mean and standard deviation over `splits` equal parts, each with its own p(y).

    References:
        Salimans et al., Improved techniques for training GANs, 2016, section 4.

    Raises:
        ValueError: fewer than two images in a part.
    """
    if len(logits) < 2 * splits:
        raise ValueError(f"an inception score in {splits} parts needs at least {2 * splits} images, got {len(logits)}")
    scores = []
    for part in logits.double().tensor_split(splits):
        log_p = part.log_softmax(1)
        log_mean = log_p.logsumexp(0) - torch.tensor(len(part), dtype=torch.float64).log()
        scores.append((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())
    each = torch.stack(scores)
    return each.mean().item(), each.std().item() if splits > 1 else 0.0


def class_counts(predicted: Tensor, num_classes: int) -> list[int]:
    """How many of the predicted classes (n,) are each of 0 … num_classes - 1."""
    return torch.bincount(predicted, minlength=num_classes).tolist()


def entropy(counts: list[int]) -> float:
    """Shannon entropy of the classes' shares, nats; log K when all K come equally often."""
    shares = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    return torch.special.entr(shares).sum().item()


def accuracy_by_class(predicted: Tensor, labels: Tensor, num_classes: int) -> list[float | None]:
    """Share of the images of each class that are taken for it; None for a class without images."""
    right = (predicted == labels).double()
    return [right[labels == k].mean().item() if (labels == k).any() else None for k in range(num_classes)]
