"""Gaussians and mixtures of them, one for each class, fitted to codes and stored as tensors."""

from __future__ import annotations

import torch
from sklearn.mixture import GaussianMixture
from torch import Generator, Tensor, nn

# Added to each variance, relative to the mean variance of the class: codes of few images have a singular covariance.
RIDGE = 1e-4


class ClassMixture(nn.Module):
    r"""A mixture of Gaussians for each class.

        p(L | y) = Σ_m π_ym N(L; μ_ym, Σ_ym)

    One component is the sample mean and covariance; more are fitted by scikit-learn's EM from a k-means start.

    Args:
        num_classes: number of classes, at least 1 (an unconditional method has one).
        size: D, the length of a code.
        components: M, Gaussians in each class.
    """

    def __init__(self, num_classes: int, size: int, components: int = 1) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"expected at least 1 component, got {components}")
        self.register_buffer("weights", torch.full((num_classes, components), 1 / components))  # π (K, M)
        self.register_buffer("means", torch.zeros(num_classes, components, size))  # μ (K, M, D)
        self.register_buffer("factors", torch.eye(size).repeat(num_classes, components, 1, 1))  # Σ = F Fᵀ (K, M, D, D)

    def check(self, labels: Tensor) -> None:
        """Refuse too few codes, known by their labels (N,).

        Raises:
            ValueError: a class has fewer than two, or fewer than components.
        """
        needed = max(2, self.weights.shape[1])
        least, label = labels.cpu().bincount(minlength=len(self.means)).min(0)
        if least < needed:
            raise ValueError(
                f"the prior needs at least {needed} codes in class {label}, there are {least}: "
                "use more images (data.limit), or fewer components (model.components)"
            )

    def fit(self, codes: Tensor, labels: Tensor) -> None:
        """Fit to codes (N, D) of classes labels (N,).

        Raises:
            ValueError: a class has fewer than two codes, or fewer than components.
        """
        self.check(labels)
        codes = codes.detach().double().cpu()
        for label in range(len(self.means)):
            of_class = codes[labels.cpu() == label]
            ridge = RIDGE * of_class.var(0).mean().item() + 1e-12
            if self.weights.shape[1] == 1:
                weights, means = torch.ones(1), of_class.mean(0, keepdim=True)
                covariances = (of_class.T.cov() + ridge * torch.eye(codes.shape[1])).unsqueeze(0)
            else:
                mixture = GaussianMixture(self.weights.shape[1], reg_covar=ridge, random_state=0).fit(of_class.numpy())
                weights, means = torch.from_numpy(mixture.weights_), torch.from_numpy(mixture.means_)
                covariances = torch.from_numpy(mixture.covariances_)
            self.weights[label] = weights
            self.means[label] = means
            self.factors[label] = torch.linalg.cholesky(covariances)

    def sample(self, labels: Tensor, *, generator: Generator | None = None) -> Tensor:
        """One code for each label: (n,) → (n, D)."""
        shape = len(labels), self.means.shape[2], 1
        noise = torch.randn(shape, generator=generator, device=self.means.device, dtype=self.means.dtype)
        component = torch.zeros_like(labels)
        if self.weights.shape[1] > 1:
            component = torch.multinomial(self.weights[labels], 1, generator=generator).squeeze(1)
        return self.means[labels, component] + (self.factors[labels, component] @ noise).squeeze(2)

    def log_prob(self, codes: Tensor, labels: Tensor) -> Tensor:
        """log p(L | y) of codes (n, D) and labels (n,), in nats: (n,)."""
        normal = torch.distributions.MultivariateNormal(self.means[labels], scale_tril=self.factors[labels])
        return torch.logsumexp(self.weights[labels].log() + normal.log_prob(codes.unsqueeze(1)), 1)
