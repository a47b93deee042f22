"""Where a flow starts: distributions of the points before the first layer. Points are rows here: (n, D)."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from genrun.maths.mixtures import ClassMixture, log_standard_normal


class Start(nn.Module):
    """A distribution of points in D dimensions, for each class.

    Args:
        size: D.
        num_classes: number of classes, at least 1 (an unconditional flow has one).

    Attributes:
        shares: of the classes in the data, (num_classes,).
        by_class: whether the distribution depends on the class.
    """

    by_class = False

    def __init__(self, size: int, num_classes: int = 1) -> None:
        super().__init__()
        self.size, self.num_classes = size, num_classes
        self.register_buffer("shares", torch.full((num_classes,), 1 / num_classes))

    def check(self, labels: Tensor) -> None:
        """Check that the start can be fitted to images with these labels (N,).

        Raises:
            ValueError: it cannot.
        """

    def fit(self, data: Tensor, labels: Tensor) -> None:
        """Fit the distribution to data (N, D) with the labels (N,), all 0 if the flow is unconditional."""
        self.shares = labels.bincount(minlength=self.num_classes).to(self.shares) / len(labels)

    def labels(self, n: int, generator: Generator) -> Tensor:
        """Return n labels with the shares of the data, in random order: (n,) int64."""
        ends = (self.shares.double().cumsum(0) * n).round().long()
        labels = torch.searchsorted(ends, torch.arange(n, device=ends.device), right=True).clamp_(
            max=self.num_classes - 1
        )
        return labels[torch.randperm(n, generator=generator, device=generator.device).to(labels.device)]

    def sample(self, labels: Tensor, generator: Generator | None = None, *, fresh: bool = True) -> Tensor:
        """Draw a point for each label: (n,) → (n, D).

        Args:
            fresh: whether these are new draws, instead of the particles to which the layers are fitted.
        """
        raise NotImplementedError

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the log density of points (n, D), of all classes together, in nats: (n,)."""
        raise NotImplementedError


class StandardNormal(Start):
    """N(0, I), as NOTA has it ("Latent gaussian assumption").

    Args:
        size, num_classes: see `Start`; all classes share the distribution.
        fresh_scale: σ, fresh draws start at N(0, σ² I); the published code has 0.9.
    """

    def __init__(self, size: int, num_classes: int = 1, fresh_scale: float = 1.0) -> None:
        super().__init__(size, num_classes)
        if not 0 < fresh_scale < math.inf:
            raise ValueError(f"fresh_scale: expected a finite number above 0, got {fresh_scale}")
        self.fresh_scale = fresh_scale

    def sample(self, labels: Tensor, generator: Generator | None = None, *, fresh: bool = True) -> Tensor:
        z = torch.randn(len(labels), self.size, generator=generator, device=self.shares.device, dtype=torch.float32)
        return z * self.fresh_scale if fresh else z

    def log_prob(self, x: Tensor) -> Tensor:
        return log_standard_normal(x / self.fresh_scale) - self.size * math.log(self.fresh_scale)


class Mixture(Start):
    r"""A mixture of Gaussians in the space of the data's principal components. It is genrun's addition; NOTA starts at N(0, I).

        x = μ + V s + σ (I - V Vᵀ) ε,     s ~ Σ_i π_yi N(μ_yi, Σ_yi),     ε ~ N(0, I)

    V (D, q) are the first q principal components, σ² is the mean variance in the other D - q directions. A mixture stores much of the
    data if it has many components: compare the metrics of copying for several numbers of them.

    Args:
        size, num_classes: see `Start`; each class has a mixture of its own.
        cells: number of Gaussians, of all classes together; each class has the same number. With few images there are fewer.
        images_per_cell: least mean number of images for each Gaussian.
        scores: q, or D if that is less.
        em_steps: largest number of EM steps after k-means.
        reg_covar: is added to the variances of a Gaussian, as a multiple of the mean variance of its class.

    References:
        Tipping and Bishop, Probabilistic principal component analysis, 1999 (σ²).
    """

    by_class = True

    def __init__(
        self,
        size: int,
        num_classes: int = 1,
        cells: int = 600,
        scores: int = 150,
        em_steps: int = 3,
        images_per_cell: int = 30,
        reg_covar: float = 1e-3,
    ) -> None:
        super().__init__(size, num_classes)
        if scores < 1:
            raise ValueError(f"model.start.scores: expected at least 1, got {scores}")
        if cells < num_classes:
            raise ValueError(f"model.start.cells: expected at least one for each of {num_classes} classes, got {cells}")
        if images_per_cell < 1:
            raise ValueError(f"model.start.images_per_cell: expected at least 1, got {images_per_cell}")
        self.scores, self.cells, self.images_per_cell = min(scores, size), cells // num_classes, images_per_cell
        self.prior = ClassMixture(
            num_classes, self.scores, cells // num_classes, reg_covar=reg_covar, em_steps=em_steps
        )
        self.register_buffer("mean", torch.zeros(size))  # μ (D,)
        self.register_buffer("basis", torch.eye(size)[:, : self.scores].contiguous())  # V (D, q)
        self.register_buffer("scale", torch.ones(()))  # σ

    def check(self, labels: Tensor) -> None:
        if len(labels) <= self.scores:
            raise ValueError(
                f"model.start.scores={self.scores} principal components need more images than that, got {len(labels)}"
            )
        least, label = labels.bincount(minlength=self.num_classes).min(0)
        if least < 2:
            raise ValueError(f"model/start=mixture: expected at least 2 images of class {int(label)}, got {int(least)}")

    def fit(self, data: Tensor, labels: Tensor) -> None:
        from sklearn.decomposition import PCA

        super().fit(data, labels)
        components = PCA(self.scores, svd_solver="randomized", random_state=0).fit(data.cpu().numpy())
        self.mean.copy_(torch.from_numpy(components.mean_))
        self.basis.copy_(torch.from_numpy(components.components_.T))
        # scikit-learn divides by the directions that N images span
        spanned, free = min(data.shape) - self.scores, self.size - self.scores
        self.scale.fill_(math.sqrt(max(components.noise_variance_ * spanned / max(1, free), 1e-12)))
        least = int(labels.bincount(minlength=self.num_classes).min())
        self.prior.choices = [max(1, min(self.cells, least // self.images_per_cell))]
        self.prior.fit((data - self.mean.to(data)) @ self.basis.to(data), labels)

    def sample(self, labels: Tensor, generator: Generator | None = None, *, fresh: bool = True) -> Tensor:
        s = self.prior.sample(labels, generator=generator)  # (n, q)
        noise = torch.randn(len(labels), self.size, generator=generator, device=s.device, dtype=s.dtype)
        noise -= noise @ self.basis @ self.basis.T
        return self.mean + s @ self.basis.T + (self.scale * noise if self.scores < self.size else 0)

    def log_prob(self, x: Tensor) -> Tensor:
        centred, basis = x - self.mean, self.basis.to(x)
        s = centred @ basis
        outside: Tensor | float = 0.0
        if free := self.size - self.scores:
            rest = (centred - s @ basis.T) / self.scale
            outside = -0.5 * (rest.square().sum(1) + free * math.log(2 * math.pi)) - free * self.scale.log()
        s = s.to(self.prior.means)
        of_class = [
            self.prior.log_prob(s, torch.full_like(s[:, 0], y, dtype=torch.long)) for y in range(self.num_classes)
        ]
        return outside + torch.logsumexp(torch.stack(of_class, 1) + self.shares.log(), 1).to(x)
