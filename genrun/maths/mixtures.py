"""Priors of codes: a standard normal distribution, or a Gaussian or mixture of Gaussians for each class, stored as tensors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from joblib import Parallel, cpu_count, delayed
from threadpoolctl import threadpool_limits
from torch import Generator, Tensor, nn

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

Covariance = Literal["full", "tied", "diagonal"]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]  # (parts, their number) → the same parts

LARGE = 256  # numbers in a code; of longer codes, the factors of several samples are not copied
HELD_OUT = 10  # one of so many codes is held out when the number of components is chosen


class Prior(nn.Module):
    """A distribution p(L | y) of the codes of each class.

    Args:
        num_classes: number of classes, at least 1 (an unconditional method has one).
        size: D, the length of a code.
    """

    def __init__(self, num_classes: int, size: int) -> None:
        super().__init__()
        self.num_classes, self.size = num_classes, size

    def check_options(self) -> None:
        """Check that no option is without effect.

        Raises:
            ValueError: one is.
        """

    def check(self, labels: Tensor) -> None:
        """Check from the labels (N,) of the codes that `fit` will have enough codes of each class.

        Raises:
            ValueError: there are too few codes of a class.
        """

    def fit(self, codes: Tensor, labels: Tensor, *, progress: Progress | None = None) -> None:
        """Fit the prior to codes (N, D) with the class labels (N,).

        Args:
            progress: is called with the classes, as they get done, and their number.

        Raises:
            ValueError: there are too few codes of a class, or no such distribution can be fitted to the codes.
        """

    def fit_roughly(self, codes: Tensor, labels: Tensor) -> None:
        """Fit one Gaussian to each class: quick enough for the sample grid after each epoch.

        A class with fewer than two codes stays as it is.
        """

    def sample(self, labels: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Draw one code for each label: (n,) → (n, D)."""
        raise NotImplementedError

    def log_prob(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Return log p(L | y) of codes (n, D) and labels (n,), in nats: (n,)."""
        raise NotImplementedError

    def not_from_noise(self) -> str | None:
        """Return why `from_noise` cannot draw codes; None if it can."""
        return f"codes of {type(self).__name__} are no function of noise"

    def mixes(self) -> bool:
        """Return whether `from_noise` needs a uniform number too, for the choice of a component."""
        return False

    def from_noise(self, noise: Tensor, labels: Tensor, uniform: Tensor | None = None) -> Tensor:
        """Turn given random numbers into codes of this distribution, without randomness of its own.

        Args:
            noise: (n, D) from N(0, I).
            labels: (n,).
            uniform: (n,) in [0, 1), if the prior mixes.

        Returns:
            (n, D).
        """
        raise NotImplementedError


def log_standard_normal(x: Tensor) -> Tensor:
    """Return log N(x; 0, I), in nats: (n, D) → (n,)."""
    return -0.5 * (x.square().sum(1) + x.shape[1] * math.log(2 * math.pi))


class StandardNormal(Prior):
    """N(0, I) for every class; nothing is fitted."""

    def __init__(self, num_classes: int, size: int) -> None:
        super().__init__(num_classes, size)
        self.register_buffer("mean", torch.zeros(size), persistent=False)

    def sample(self, labels: Tensor, *, generator: Generator | None = None) -> Tensor:
        shape = len(labels), self.size
        return torch.randn(shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)

    def log_prob(self, codes: Tensor, labels: Tensor) -> Tensor:
        return log_standard_normal(codes)

    def not_from_noise(self) -> None:
        return None

    def from_noise(self, noise: Tensor, labels: Tensor, uniform: Tensor | None = None) -> Tensor:
        return noise


class ClassMixture(Prior):
    r"""A mixture of Gaussians for each class ("Image Generation Using an Autoencoder", section 2.4).

        p(L | y) = Σ_i π_yi N(L; μ_yi, s Σ_yi)                                      (4)

    With one component, μ and Σ are the sample mean and covariance (2.4.1). More components are fitted by scikit-learn's EM, which starts
    from k-means (2.4.2). The classes are fitted in parallel on all cores. Each uses one thread and the same seed, so the result does not
    depend on the number of cores.

    Args:
        num_classes, size: see `Prior`.
        components: K, the number of Gaussians of each class. If it is a list, each class gets the number under which a held-out tenth of
            its codes has the highest likelihood.
        covariance: `full`; `tied`: one full covariance for all components of a class; or `diagonal`.
        covariance_scale: s, used in samples and in `log_prob`, not in the fit.
        reg_covar: is added to every variance, because a component with fewer than D codes has a singular covariance.
        relative: multiply `reg_covar` by the mean variance of the class's codes; False: use it as it is, like scikit-learn.
        em_steps: largest number of EM steps after k-means.
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
        em_steps: int = 100,
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
        self.reg_covar, self.relative, self.em_steps = reg_covar, relative, em_steps
        most = max(choices)
        # F, with Σ = F Fᵀ: full (classes, K, D, D), tied (classes, 1, D, D), diagonal (classes, K, D)
        factors = torch.ones(size) if covariance == "diagonal" else torch.eye(size)
        repeats = num_classes, 1 if covariance == "tied" else most, *(1 for _ in factors.shape)
        self.register_buffer("weights", torch.full((num_classes, most), 1 / most))  # π (classes, K)
        self.register_buffer("means", torch.zeros(num_classes, most, size))  # μ (classes, K, D)
        self.register_buffer("factors", factors.repeat(repeats))

    # -------------------------------------------------------------------------------------------------------------- fit

    def check(self, labels: Tensor) -> None:
        most = max(self.choices)
        # if K is chosen from several, at least one code is held out
        needed = max(2, most) if len(self.choices) == 1 else max(HELD_OUT, most + most // (HELD_OUT - 1) + 1)
        least, label = labels.cpu().bincount(minlength=self.num_classes).min(0)
        if least < needed:
            raise ValueError(
                f"the prior needs at least {needed} codes in class {label}, there are {least}: use more images (data.limit), "
                "or fewer components (model.prior.components)"
            )

    def fit(self, codes: Tensor, labels: Tensor, *, progress: Progress | None = None) -> None:
        # imported here because a run needs scikit-learn only when its training is over
        from sklearn.exceptions import ConvergenceWarning

        self.check(labels)
        if not codes.isfinite().all():
            raise ValueError("codes must be finite, got NaN or Inf")
        codes, labels = codes.detach().double().cpu(), labels.cpu()
        jobs = (delayed(self.fit_class)(label, codes[labels == label].numpy()) for label in range(self.num_classes))
        with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
            # EM that has not converged after its steps is good enough to draw from
            warnings.simplefilter("ignore", ConvergenceWarning)
            done = Parallel(min(self.num_classes, cpu_count()), prefer="threads", return_as="generator_unordered")(jobs)
            for label, weights, means, factors in progress(done, self.num_classes) if progress else done:
                self.weights[label], self.means[label] = 0, 0  # for the components that this class does not have
                self.factors[label] = 1 if self.covariance == "diagonal" else torch.eye(self.size)
                self.weights[label, : len(weights)] = torch.from_numpy(weights)
                self.means[label, : len(means)] = torch.from_numpy(means)
                self.factors[label, : len(factors)] = torch.from_numpy(factors)

    def fit_roughly(self, codes: Tensor, labels: Tensor) -> None:
        codes, labels = codes.detach().double().cpu(), labels.cpu()
        for label in (labels.bincount(minlength=self.num_classes) > 1).nonzero().flatten().tolist():
            of_class = codes[labels == label].numpy()
            mean, factors = self.gaussian(of_class, max(1e-4, self.reg_covar) * of_class.var(0, ddof=1).mean() + 1e-12)
            self.means[label] = torch.from_numpy(mean)  # for all components
            self.factors[label] = torch.from_numpy(factors)

    def gaussian(self, codes: np.ndarray, reg: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean (D,) of codes (N, D), and the factor F of their covariance, with reg added to its diagonal."""
        covariance = np.atleast_2d(np.cov(codes.T)) + reg * np.eye(self.size)
        if self.covariance == "diagonal":
            if not covariance.diagonal().all():
                raise ValueError("a variance is zero")
            return codes.mean(0), np.sqrt(covariance.diagonal())
        return codes.mean(0), np.linalg.cholesky(covariance)

    def fit_class(self, label: int, codes: np.ndarray) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
        """Fit one class to its codes (N, D), float64; return the label, π (K,), μ (K, D) and F.

        Raises:
            ValueError: a covariance is singular.
        """
        # 1e-12: if all codes are equal, their variance is zero
        reg = self.reg_covar * codes.var(0, ddof=1).mean() + 1e-12 if self.relative else self.reg_covar
        kind = {"full": "full", "tied": "tied", "diagonal": "diag"}[self.covariance]
        with threadpool_limits(1, user_api="openmp"):  # this limit is only for this thread
            components = self.choices[0] if len(self.choices) == 1 else self.choose_components(codes, kind, reg)
            try:
                if components == 1:
                    mean, factors = self.gaussian(codes, reg)
                    return label, np.ones(1), mean[None], factors[None]
                mixture = em(codes, components, kind, reg, self.em_steps)
                covariances = mixture.covariances_[None] if kind == "tied" else mixture.covariances_
                factors = np.sqrt(covariances) if kind == "diag" else np.linalg.cholesky(covariances)
            except (ValueError, np.linalg.LinAlgError) as error:
                raise ValueError(
                    f"a covariance of class {label} is singular: raise model.prior.reg_covar ({self.reg_covar})"
                ) from error
        return label, mixture.weights_, mixture.means_, factors

    def choose_components(self, codes: np.ndarray, kind: str, reg: float) -> int:
        """Return the K under which a held-out tenth of the codes (N, D) has the highest likelihood.

        A K that makes a covariance singular counts as the worst.
        """
        order = np.random.default_rng(0).permutation(len(codes))
        rest, held_out = np.split(codes[order], [len(codes) - len(codes) // HELD_OUT])
        scores = []
        for components in self.choices:
            try:
                scores.append(em(rest, components, kind, reg, self.em_steps).score(held_out))
            except ValueError:
                scores.append(-math.inf)
        return self.choices[int(np.argmax(scores))]

    # ------------------------------------------------------------------------------------------------------ distribution

    def sample(self, labels: Tensor, *, generator: Generator | None = None) -> Tensor:
        shape = len(labels), self.size
        noise = torch.randn(shape, generator=generator, device=self.means.device, dtype=self.means.dtype)
        return self.placed(noise, labels, self.drawn_component(labels, generator))

    def drawn_component(self, labels: Tensor, generator: Generator | None) -> Tensor:
        """Draw a component of the class of each label: (n,) → (n,)."""
        if self.weights.shape[1] == 1:
            return torch.zeros_like(labels)
        return torch.multinomial(self.weights[labels], 1, generator=generator).squeeze(1)

    def not_from_noise(self) -> None:
        return None

    def mixes(self) -> bool:
        return self.weights.shape[1] > 1

    def from_noise(self, noise: Tensor, labels: Tensor, uniform: Tensor | None = None) -> Tensor:
        return self.placed(noise, labels, self.component_at(labels, uniform))

    def component_at(self, labels: Tensor, uniform: Tensor | None) -> Tensor:
        """Return the component that a number (n,) in [0, 1) chooses, for labels (n,): (n,)."""
        if uniform is None:
            return torch.zeros_like(labels)
        up_to = self.weights[labels].cumsum(1)  # (n, K)
        # a component without weight has the same sum as the one before, and is not reached
        return (uniform.unsqueeze(1) * up_to[:, -1:] > up_to).sum(1)

    def placed(self, noise: Tensor, labels: Tensor, component: Tensor) -> Tensor:
        """Move noise (n, D) from N(0, I) to these components (n,) of the classes (n,)."""
        of_factor = torch.zeros_like(component) if self.covariance == "tied" else component
        if self.covariance == "diagonal":
            noise = self.factors[labels, of_factor] * noise
        else:
            noise = products_of(self.factors, noise, labels, of_factor)
        return self.means[labels, component] + self.covariance_scale**0.5 * noise

    def log_prob(self, codes: Tensor, labels: Tensor) -> Tensor:
        result = codes.new_empty(len(codes))
        for label in labels.unique():
            at = labels == label
            result[at] = torch.logsumexp(self.joint_log_prob(codes[at], label), 1)
        return result

    def responsibilities(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Return p(i | L, y), the probability that code L came from component i of its class: codes (n, D), labels (n,) → (n, K)."""
        result = codes.new_empty(len(codes), self.weights.shape[1])
        for label in labels.unique():
            at = labels == label
            result[at] = self.joint_log_prob(codes[at], label).softmax(1)
        return result

    def joint_log_prob(self, codes: Tensor, label: Tensor) -> Tensor:
        """Return log π_yi N(L; μ_yi, s Σ_yi) of codes (n, D) for each component of one class: (n, K)."""
        factors = self.covariance_scale**0.5 * self.factors[label]
        difference = codes - self.means[label].unsqueeze(1)  # (K, n, D)
        if self.covariance == "diagonal":
            white, log_det = difference / factors.unsqueeze(1), factors.log().sum(1)
        else:
            white = torch.linalg.solve_triangular(factors, difference.mT, upper=False).mT
            log_det = factors.diagonal(dim1=1, dim2=2).log().sum(1)
        normal = -0.5 * (white.square().sum(2) + self.size * math.log(2 * math.pi)) - log_det.unsqueeze(1)  # (K, n)
        return (self.weights[label].log().unsqueeze(1) + normal).T


def products_of(matrices: Tensor, vectors: Tensor, labels: Tensor, component: Tensor) -> Tensor:
    """Multiply each vector (n, D) by the matrix of its label (n,) and component (n,), of matrices (classes, K, D, D): (n, D).

    Long vectors are multiplied one component after the other, so no matrix is copied: for 100 of 2,304 numbers the copies would need
    2 GiB. On the CPU the result is the same, bit for bit.
    """
    if vectors.shape[1] < LARGE:
        return products(matrices[labels, component], vectors)
    result = torch.empty_like(vectors)
    for label, which in torch.stack([labels, component], 1).unique(dim=0).tolist():
        at = ((labels == label) & (component == which)).nonzero().flatten()
        # a product of one matrix is computed in another order than that of several, so a row that stands alone is taken twice
        rows = at.repeat(2) if len(at) == 1 < len(vectors) else at
        result[at] = products(matrices[label, which].expand(len(rows), -1, -1), vectors[rows])[: len(at)]
    return result


def products(matrices: Tensor, vectors: Tensor) -> Tensor:
    """Multiply each vector (n, D) by its own matrix (n, D, D): (n, D)."""
    return (matrices @ vectors.unsqueeze(2)).squeeze(2)


def em(codes: np.ndarray, components: int, kind: str, reg: float, steps: int) -> GaussianMixture:
    """Fit scikit-learn's mixture of Gaussians, always with the same seed."""
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(components, covariance_type=kind, reg_covar=reg, max_iter=steps, random_state=0).fit(codes)
