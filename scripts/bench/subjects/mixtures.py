"""Fitting the priors of ten classes, against scikit-learn's mixtures one after another."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from torch import Tensor

from genrun.maths.mixtures import ClassMixture
from scripts.bench.effort import Effort
from scripts.bench.measuring import seconds_of
from scripts.bench.rows import Row, cost
from scripts.bench.trainings import mnist_source

COMPONENTS, CODE_SIZE, REG = 250, 32, 0.01


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    source = mnist_source()
    n, k = effort.count(60000, 2000), effort.count(COMPONENTS, 4)
    flat = [
        split.array.flatten(1).double().div(255).numpy() for split in (source.train.take(torch.arange(n)), source.test)
    ]
    pca = PCA(CODE_SIZE, svd_solver="covariance_eigh").fit(flat[0])
    codes, held_out = (torch.from_numpy(pca.transform(each)) for each in flat)
    labels = source.train.labels[:n]
    fitted: list[GaussianMixture] = []

    mixture_of(1).fit(codes[:200], labels[:200])  # what is imported and started once counts for neither side

    def by_sklearn() -> None:
        for label in range(10):
            mine = codes[labels == label].numpy()
            reg = REG * mine.var(0, ddof=1).mean()
            fitted.append(GaussianMixture(k, reg_covar=reg, random_state=0).fit(mine))

    other = seconds_of(by_sklearn)  # half a minute or more: once
    of_class = (held_out[source.test.labels == label].numpy() for label in range(10))
    scores = [mixture.score_samples(each).sum() for mixture, each in zip(fitted, of_class, strict=True)]
    score = sum(scores) / len(held_out)
    ours = mixture_of(k)
    taken = seconds_of(lambda: ours.fit(codes, labels))
    log_prob = ours.log_prob(held_out, source.test.labels).mean().item()
    note = f"{k} Gaussians, {n:,} codes: {CODE_SIZE} principal components of MNIST; "
    note += f"held-out codes have {log_prob:.2f} and {score:.2f} nats"
    name = "Gaussians for each of ten classes, against scikit-learn's GaussianMixture"
    yield cost(name, taken, other, goal=2, note=note)


def mixture_of(components: int) -> ClassMixture:
    """Return the prior that is measured, not fitted."""
    return ClassMixture(10, CODE_SIZE, components, reg_covar=REG).double()


def seconds_to_fit(codes: Tensor, labels: Tensor, components: int) -> float:
    """Return the seconds that so many Gaussians for each class take."""
    mixture = mixture_of(components)
    return seconds_of(lambda: mixture.fit(codes, labels))
