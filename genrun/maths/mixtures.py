"""Priors of codes: standard normal, Gaussians and mixtures of them for each class, stored as tensors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from joblib import Parallel, cpu_count, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Generator, Tensor, nn

Covariance = Literal["full", "tied", "diagonal"]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]  # (parts, how many) → the parts, watched

HELD_OUT = 10  # one code of so many is held out where the number of components is chosen


class Prior(nn.Module):
    """A distribution p(L | y) of the codes of each class.

    Args:
        num_classes: number of classes, at least 1 (an unconditional method has one).
        size: D, the length of a code.
    """

    def __init__(self, num_classes: int, size: int) -> None:
        super().__init__()
        self.num_classes, self.size = num_classes, size

    def check(self, labels: Tensor) -> None:
        """Know by the labels (N,) of the codes whether `fit` can do with them.

        Raises:
            ValueError: there are too few codes of a class.
        """

    def fit(self, codes: Tensor, labels: Tensor, *, progress: Progress | None = None) -> None:
        """Fit to codes (N, D) of classes labels (N,).

        Args:
            progress: is given the classes as they are done, and their number.

        Raises:
            ValueError: as of `check`, or the codes allow no such distribution.
        """

    def fit_roughly(self, codes: Tensor, labels: Tensor) -> None:
        """As `fit`, quick enough for a look after each epoch: one Gaussian for each class, none for a class of fewer than two codes."""

    def sample(self, labels: Tensor, *, generator: Generator | None = None) -> Tensor:
        """One code for each label: (n,) → (n, D)."""
        raise NotImplementedError

    def log_prob(self, codes: Tensor, labels: Tensor) -> Tensor:
        """log p(L | y) of codes (n, D) and labels (n,), in nats: (n,)."""
        raise NotImplementedError


class StandardNormal(Prior):
    """N(0, I) for every class: nothing is fitted."""

    def __init__(self, num_classes: int, size: int) -> None:
        super().__init__(num_classes, size)
        self.register_buffer("mean", torch.zeros(size), persistent=False)

    def sample(self, labels: Tensor, *, generator: Generator | None = None) -> Tensor:
        shape = len(labels), self.size
        return torch.randn(shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)

    def log_prob(self, codes: Tensor, labels: Tensor) -> Tensor:
        return -0.5 * (codes.square().sum(1) + self.size * math.log(2 * math.pi))


class ClassMixture(Prior):
    r"""A mixture of Gaussians for each class ("Image Generation Using an Autoencoder", section 2.4).

        p(L | y) = Σ_i π_yi N(L; μ_yi, s Σ_yi)                                      (4)

    One component is the sample mean and covariance (2.4.1); more are fitted by scikit-learn's EM from a k-means start (2.4.2), the classes
    side by side on all cores: each on one thread and from the same seed, so that the outcome does not depend on their number.

    Args:
        num_classes, size: see `Prior`.
        components: K, Gaussians in each class; several numbers: for each class the one under which a held-out tenth of its codes is
            likeliest.
        covariance: `full`, one for all components (`tied`), or `diagonal`.
        covariance_scale: s, of samples and of `log_prob`, not of the fit.
        reg_covar: added to every variance: a component of fewer than D codes has a singular covariance.
        relative: to the mean variance of the class's codes; False: as it is, as scikit-learn has it.
    """

    def __init__(
        self,
        num_classes: int,
        size: int,
        components: int | Sequence[int] = 1,
        covariance: Covariance = "full",
        covariance_scale: float = 1.0,
        reg_covar: float = 1e-4,
        relative: bool = True,
    ) -> None:
        super().__init__(num_classes, size)
        choices = [components] if isinstance(components, int) else list(components)
        if not choices or min(choices) < 1:
            raise ValueError(f"model.prior.components: expected at least 1, got {components}")
        if not 0 < covariance_scale < math.inf:
            raise ValueError(f"model.prior.covariance_scale: expected a finite number above 0, got {covariance_scale}")
        if not 0 <= reg_covar < math.inf:
            raise ValueError(f"model.prior.reg_covar: expected a finite number, at least 0, got {reg_covar}")
        self.choices, self.covariance, self.covariance_scale = choices, covariance, covariance_scale
        self.reg_covar, self.relative = reg_covar, relative
        most = max(choices)
        # Σ = F Fᵀ: (classes, K, D, D), of tied ones (classes, 1, D, D), of diagonal ones (classes, K, D)
        factors = torch.ones(size) if covariance == "diagonal" else torch.eye(size)
        repeats = num_classes, 1 if covariance == "tied" else most, *(1 for _ in factors.shape)
        self.register_buffer("weights", torch.full((num_classes, most), 1 / most))  # π (classes, K)
        self.register_buffer("means", torch.zeros(num_classes, most, size))  # μ (classes, K, D)
        self.register_buffer("factors", factors.repeat(repeats))

    # -------------------------------------------------------------------------------------------------------------- fit

    def check(self, labels: Tensor) -> None:
        most = max(self.choices)
        # where K is chosen, one code at least is held out
        needed = max(2, most) if len(self.choices) == 1 else max(HELD_OUT, most + most // (HELD_OUT - 1) + 1)
        least, label = labels.cpu().bincount(minlength=self.num_classes).min(0)
        if least < needed:
            raise ValueError(
                f"the prior needs at least {needed} codes in class {label}, there are {least}: use more images (data.limit), "
                "or fewer components (model.prior.components)"
            )

    def fit(self, codes: Tensor, labels: Tensor, *, progress: Progress | None = None) -> None:
        self.check(labels)
        if not codes.isfinite().all():
            raise ValueError("codes must be finite, got NaN or Inf")
        codes, labels = codes.detach().double().cpu(), labels.cpu()
        jobs = (delayed(self.fit_class)(label, codes[labels == label].numpy()) for label in range(self.num_classes))
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
            # EM that has not settled in its hundred steps is good enough to draw from
            warnings.simplefilter("ignore", ConvergenceWarning)
            done = Parallel(min(self.num_classes, cpu_count()), prefer="threads", return_as="generator_unordered")(jobs)
            for label, weights, means, factors in progress(done, self.num_classes) if progress else done:
                self.weights[label], self.means[label] = 0, 0  # of components that this class has not
                self.factors[label] = 1 if self.covariance == "diagonal" else torch.eye(self.size)
                self.weights[label, : len(weights)] = torch.from_numpy(weights)
                self.means[label, : len(means)] = torch.from_numpy(means)
                self.factors[label, : len(factors)] = torch.from_numpy(factors)

    def fit_roughly(self, codes: Tensor, labels: Tensor) -> None:
        codes, labels = codes.detach().double().cpu(), labels.cpu()
        for label in (labels.bincount(minlength=self.num_classes) > 1).nonzero().flatten().tolist():
            of_class = codes[labels == label].numpy()
            mean, factors = self.gaussian(of_class, max(1e-4, self.reg_covar) * of_class.var(0, ddof=1).mean() + 1e-12)
            self.means[label] = torch.from_numpy(mean)  # of all components
            self.factors[label] = torch.from_numpy(factors)

    def gaussian(self, codes: np.ndarray, reg: float) -> tuple[np.ndarray, np.ndarray]:
        """Sample mean (D,), and F of the sample covariance, reg added to its diagonal, of codes (N, D)."""
        covariance = np.atleast_2d(np.cov(codes.T)) + reg * np.eye(self.size)
        if self.covariance == "diagonal":
            if not covariance.diagonal().all():
                raise ValueError("a variance is zero")
            return codes.mean(0), np.sqrt(covariance.diagonal())
        return codes.mean(0), np.linalg.cholesky(covariance)

    def fit_class(self, label: int, codes: np.ndarray) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """π (K,), μ (K, D) and F of one class, for codes (N, D) float64.

        Raises:
            ValueError: a covariance is singular.
        """
        # where all codes are one there is no variance to be relative to
        reg = self.reg_covar * codes.var(0, ddof=1).mean() + 1e-12 if self.relative else self.reg_covar
        kind = {"full": "full", "tied": "tied", "diagonal": "diag"}[self.covariance]
        with threadpool_limits(1, user_api="openmp"):  # a limit of this thread alone
            components = self.choices[0] if len(self.choices) == 1 else self.likeliest(codes, kind, reg)
            try:
                if components == 1:
                    mean, factors = self.gaussian(codes, reg)
                    return label, np.ones(1), mean[None], factors[None]
                mixture = em(codes, components, kind, reg)
                covariances = mixture.covariances_[None] if kind == "tied" else mixture.covariances_
                factors = np.sqrt(covariances) if kind == "diag" else np.linalg.cholesky(covariances)
            except (ValueError, np.linalg.LinAlgError) as error:
                raise ValueError(
                    f"a covariance of class {label} is singular: raise model.prior.reg_covar ({self.reg_covar})"
                ) from error
        return label, mixture.weights_, mixture.means_, factors

    def likeliest(self, codes: np.ndarray, kind: str, reg: float) -> int:
        """The K under which a held-out tenth of codes (N, D) is likeliest; one that makes a covariance singular is not."""
        order = np.random.default_rng(0).permutation(len(codes))
        rest, held_out = np.split(codes[order], [len(codes) - len(codes) // HELD_OUT])
        scores = []
        for components in self.choices:
            try:
                scores.append(em(rest, components, kind, reg).score(held_out))
            except ValueError:
                scores.append(-math.inf)
        return self.choices[int(np.argmax(scores))]

    # ------------------------------------------------------------------------------------------------------ distribution

    def sample(self, labels: Tensor, *, generator: Generator | None = None) -> Tensor:
        shape = len(labels), self.size
        noise = torch.randn(shape, generator=generator, device=self.means.device, dtype=self.means.dtype)
        component = torch.zeros_like(labels)
        if self.weights.shape[1] > 1:
            component = torch.multinomial(self.weights[labels], 1, generator=generator).squeeze(1)
        factors = self.factors[labels, 0 if self.covariance == "tied" else component]
        noise = factors * noise if self.covariance == "diagonal" else (factors @ noise.unsqueeze(2)).squeeze(2)
        return self.means[labels, component] + self.covariance_scale**0.5 * noise

    def log_prob(self, codes: Tensor, labels: Tensor) -> Tensor:
        result = codes.new_empty(len(codes))
        for label in labels.unique():
            at = labels == label
            factors = self.covariance_scale**0.5 * self.factors[label]
            difference = codes[at] - self.means[label].unsqueeze(1)  # (K, n, D)
            if self.covariance == "diagonal":
                white, log_det = difference / factors.unsqueeze(1), factors.log().sum(1)
            else:
                white = torch.linalg.solve_triangular(factors, difference.mT, upper=False).mT
                log_det = factors.diagonal(dim1=1, dim2=2).log().sum(1)
            normal = -0.5 * (white.square().sum(2) + self.size * math.log(2 * math.pi)) - log_det.unsqueeze(1)  # (K, n)
            result[at] = torch.logsumexp(self.weights[label].log().unsqueeze(1) + normal, 0)
        return result


def em(codes: np.ndarray, components: int, kind: str, reg: float) -> GaussianMixture:
    """scikit-learn's mixture, always from the same seed."""
    return GaussianMixture(components, covariance_type=kind, reg_covar=reg, random_state=0).fit(codes)
