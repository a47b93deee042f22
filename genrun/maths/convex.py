"""A prior of codes without a density: convex combinations of the codes of training images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from scipy.special import gammaincinv
from torch import Generator, Tensor

from genrun.maths.growing import Growing
from genrun.maths.mixtures import Prior, Progress

Spread = Literal["averaged", "kept"]
Weights = Literal["uniform", "dirichlet"]


class ConvexCombinations(Growing, Prior):
    r"""Convex combinations of n codes of one class ("Classify and generate", section 3.4).

        z = Σ_i θ_i z_i,   θ_i ≥ 0,   Σ_i θ_i = 1                              (11)

    If a linear classifier assigns all z_i to a class, it assigns z to it too (Lemma 1). But z varies less than the codes: its covariance
    is Σ_i θ_i² times theirs, 1/n for equal weights. So an extension moves z away from the class's mean code μ until it varies as they do:

        z' = μ + (z - μ) / √(Σ_i θ_i²)                                         `spread: kept`

    z' may lie outside the convex hull, so Lemma 1 does not hold for it.

    Args:
        num_classes, size: see `Prior`.
        n: number of codes in a combination, at least 2.
        weights: θ: `uniform`: 1/n each; `dirichlet`: drawn from a symmetric Dirichlet distribution; or n numbers, which are scaled
            to sum to 1.
        concentration: of the Dirichlet distribution; 1: uniform over all θ; below 1: near one of the codes.
        spread: `averaged`: z, as in the document; `kept`: z'.
        sources: at most so many codes of each class are kept, evenly spread over them.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        num_classes: int,
        size: int,
        n: int = 2,
        weights: Weights | Sequence[float] = "uniform",
        concentration: float = 1.0,
        spread: Spread = "kept",
        sources: int = 1000,
    ) -> None:
        super().__init__(num_classes, size)
        if n < 2:
            raise ValueError(f"model.prior.n: expected at least 2 codes in a combination, got {n}")
        if sources < n:
            raise ValueError(f"model.prior.sources: expected at least n = {n}, got {sources}")
        if not 0 < concentration < math.inf:
            raise ValueError(f"model.prior.concentration: expected a finite number above 0, got {concentration}")
        if not isinstance(weights, str) and (len(weights) != n or min(weights) < 0 or not 0 < sum(weights) < math.inf):
            raise ValueError(
                f"model.prior.weights: expected uniform, dirichlet or {n} numbers of at least 0, got {weights}"
            )
        self.n, self.weights, self.concentration, self.spread = n, weights, concentration, spread
        self.sources = sources
        # empty until it is fitted, so that checkpoints of earlier phases stay small
        self.register_buffer("codes", torch.zeros(num_classes, 0, size))
        self.register_buffer("counts", torch.zeros(num_classes, dtype=torch.int64))  # codes of each class
        self.register_buffer("means", torch.zeros(num_classes, size))  # μ

    def check_options(self) -> None:
        if self.concentration != 1 and self.weights != "dirichlet":
            raise ValueError(
                f"model.prior.concentration={self.concentration} needs model.prior.weights=dirichlet, got {self.weights}"
            )

    def check(self, labels: Tensor) -> None:
        least, label = labels.cpu().bincount(minlength=self.num_classes).min(0)
        if least < self.n:
            raise ValueError(
                f"combinations of {self.n} codes need as many in class {label}, there are {least}: use more images (data.limit), "
                "or fewer codes (model.prior.n)"
            )

    def fit(self, codes: Tensor, labels: Tensor, *, progress: Progress | None = None) -> None:
        self.check(labels)
        if not codes.isfinite().all():
            raise ValueError("codes must be finite, got NaN or Inf")
        self.fit_roughly(codes, labels)

    def fit_roughly(self, codes: Tensor, labels: Tensor) -> None:
        labels = labels.to(codes.device)
        most = min(self.sources, int(labels.bincount(minlength=self.num_classes).max()))
        self.codes = self.codes.new_zeros(self.num_classes, most, self.size)
        for label in range(self.num_classes):
            own = codes[labels == label].detach()
            kept = own[torch.linspace(0, len(own) - 1, min(len(own), most)).long().to(own.device)]
            self.codes[label, : len(kept)] = kept.to(self.codes)
            self.counts[label] = len(kept)
            self.means[label] = own.mean(0, dtype=torch.float64) if len(own) else 0

    def resize(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Make room for saved codes, whose number is known only when they are loaded; the shapes are those of the saved tensors."""
        if len(shape := shapes.get("codes", ())) == 3:
            self.codes = self.codes.new_zeros(self.num_classes, shape[1], self.size)

    def sample(self, labels: Tensor, *, generator: Generator | None = None) -> Tensor:
        if not self.counts.any():  # not fitted yet: standard normal, as the other priors are
            shape = len(labels), self.size
            return torch.randn(shape, generator=generator, device=self.means.device, dtype=self.means.dtype)
        return self.combine(labels, generator=generator)

    def combine(
        self, labels: Tensor, n: int | None = None, spread: Spread | None = None, *, generator: Generator | None = None
    ) -> Tensor:
        """Draw a combination for each label: (m,) → (m, D).

        Args:
            n: number of codes, with equal weights; None: n and the weights of the prior.
            spread: None: that of the prior.

        Raises:
            ValueError: a class has fewer codes than that.
        """
        theta = self.draw_weights(len(labels), generator) if n is None else self.means.new_full((len(labels), n), 1 / n)
        places = self.draw_sources(labels, theta.shape[1], generator)
        z = torch.einsum("mn,mnd->md", theta, self.codes[labels[:, None], places])
        if (spread or self.spread) == "averaged":
            return z
        mean = self.means[labels]
        return mean + (z - mean) / theta.square().sum(1, keepdim=True).sqrt()

    def draw_sources(self, labels: Tensor, n: int, generator: Generator | None) -> Tensor:
        """Draw n different codes of each label's class: (m,) → (m, n) places in `codes`."""
        counts = self.counts[labels]
        if len(labels) and counts.min() < n:
            raise ValueError(
                f"a combination of {n} codes of class {int(labels[counts.argmin()])}: it has {int(counts.min())}"
            )
        most = int(counts.max()) if len(labels) else n
        keys = torch.rand(len(labels), most, generator=generator, device=labels.device)
        keys = keys.masked_fill(torch.arange(most, device=labels.device) >= counts[:, None], -1)
        return keys.topk(n, dim=1).indices

    def draw_weights(self, m: int, generator: Generator | None) -> Tensor:
        """Draw θ of m combinations: (m, n), each row of which sums to 1."""
        if self.weights == "dirichlet":
            # independent Gamma(α) numbers divided by their sum; G(α) = G(α + 1) U^(1/α) in logarithms, because for small α all
            # of them would be 0 (Marsaglia and Tsang, A simple method for generating gamma variables, 2000, section 6)
            uniform = torch.rand(2, m, self.n, generator=generator, device=self.means.device, dtype=torch.float64)
            uniform = uniform.cpu().clamp_min(torch.finfo(torch.float64).tiny)
            larger = torch.from_numpy(gammaincinv(self.concentration + 1, uniform[0].numpy()))
            return (larger.log() + uniform[1].log() / self.concentration).softmax(1).to(self.means)
        numbers = [1.0] * self.n if self.weights == "uniform" else [float(one) for one in self.weights]
        return (self.means.new_tensor(numbers) / sum(numbers)).expand(m, -1)
