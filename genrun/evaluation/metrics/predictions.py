"""Metrics from a classifier's predictions: inception score, class counts, entropy, accuracy by class."""

from __future__ import annotations

import torch
from torch import Tensor


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    r"""Return exp(mean KL(p(y|x) ‖ p(y))) from a classifier's logits (n, K), where p(y) is the mean of p(y|x).

    The score is 1 if the prediction is the same for every image. It is K if every prediction is certain and all classes are
    equally frequent.

    Returns:
        Mean and standard deviation of the score over `splits` equal parts of the images, each with its own p(y).

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
    """Count how often each class 0 … num_classes - 1 occurs in the predictions (n,)."""
    return torch.bincount(predicted, minlength=num_classes).tolist()


def entropy(counts: list[int]) -> float:
    """Return the Shannon entropy of the class shares in nats; log K if all K classes are equally frequent."""
    shares = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    return torch.special.entr(shares).sum().item()


def accuracy_by_class(predicted: Tensor, labels: Tensor, num_classes: int) -> list[float | None]:
    """Return the share of correct predictions for each class; None for a class without images."""
    right = (predicted == labels).double()
    return [right[labels == k].mean().item() if (labels == k).any() else None for k in range(num_classes)]
