"""Losses of a classifier, from its logits and the right classes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ClassificationLoss(nn.Module):
    """The error of a classifier, given its logits; p = softmax(logits), and y is the right class, as a one-hot vector e_y.

    Shape: logits (n, K), labels (n,) int64 → (n,).

    References:
        "Classify and generate", section 6.7. It names the last three without a formula; these are Keras' definitions.
    """

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        raise NotImplementedError


class CrossEntropy(ClassificationLoss):
    """-log p_y  (3)."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="none")


class CategoricalHinge(ClassificationLoss):
    """max(0, 1 + max_{j≠y} p_j - p_y)."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        p, right = logits.softmax(1), F.one_hot(labels, logits.shape[1]).bool()
        return (1 + p.masked_fill(right, 0).amax(1) - p[right]).relu()


class CosineSimilarity(ClassificationLoss):
    """-cos(p, e_y) = -p_y / |p|."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        p = logits.softmax(1)
        return -p.gather(1, labels[:, None]).squeeze(1) / p.norm(dim=1)


class MeanSquaredError(ClassificationLoss):
    """|p - e_y|² / K."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits.softmax(1) - F.one_hot(labels, logits.shape[1])).square().mean(1)
