"""Reconstruction errors: losses of an autoencoder, between images with values in [0, 1]."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ReconstructionError(nn.Module):
    """E(X), the error of images X, given the logits of their reconstructions F(X) = σ(logits).

    Shape: logits and images (n, C, H, W), images in [0, 1] → (n,).

    References:
        "Image Generation Using an Autoencoder", section 2.3.3; d = C·H·W.
    """

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        raise NotImplementedError


class MeanSquaredError(ReconstructionError):
    """E₁ = 1/d Σ_i (F(X)_i - X_i)²  (1)."""

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        return (logits.sigmoid() - images).square().flatten(1).mean(1)


class CrossEntropy(ReconstructionError):
    """E₂ = -Σ_i X_i log F(X)_i + (1 - X_i) log(1 - F(X)_i)  (2), in nats, with its second sign corrected."""

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, images, reduction="none").flatten(1).sum(1)


class SquaredDistance(ReconstructionError):
    """E₃ = |F(X) - X|² = d E₁  (3), as printed in the document."""

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        return (logits.sigmoid() - images).square().flatten(1).sum(1)


class Distance(ReconstructionError):
    """|F(X) - X|, the Euclidean distance, as the document calls (3)."""

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        return (logits.sigmoid() - images).flatten(1).norm(dim=1)


class MeanAbsoluteError(ReconstructionError):
    """1/d Σ_i |F(X)_i - X_i|, as the autoencoder of "Classify and generate", section 4."""

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        return (logits.sigmoid() - images).abs().flatten(1).mean(1)
