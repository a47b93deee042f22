"""Measure what fitting the priors of ten classes costs, against scikit-learn's mixtures one by one (part of `make bench`).

The codes are the first 32 principal components of MNIST, with K = 250 and full covariances. Each side takes half a minute or
more, so it is measured once, scikit-learn first. Needs MNIST in $GENRUN_DATA.
"""

from __future__ import annotations

import sys
import time
import warnings

import torch
from bench import ROOT
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from genrun.data.sources import mnist
from genrun.maths.mixtures import ClassMixture

COMPONENTS, CODE_SIZE, REG = 250, 32, 0.01


def main() -> None:
    warnings.simplefilter("ignore", ConvergenceWarning)
    if not (ROOT / "MNIST" / "raw").is_dir():
        sys.exit(f"bench: MNIST is not in {ROOT}; set GENRUN_DATA to the folder that holds MNIST/raw")
    source = mnist(root=str(ROOT))
    flat = [split.array.flatten(1).double().div(255).numpy() for split in (source.train, source.test)]
    pca = PCA(CODE_SIZE, svd_solver="covariance_eigh").fit(flat[0])
    codes, held_out = (torch.from_numpy(pca.transform(each)) for each in flat)
    labels, of_held_out = source.train.labels, source.test.labels

    started, score = time.perf_counter(), 0.0
    for label in range(10):
        mine = codes[labels == label].numpy()
        reg = REG * mine.var(0, ddof=1).mean()
        mixture = GaussianMixture(COMPONENTS, reg_covar=reg, random_state=0).fit(mine)
        theirs = held_out[of_held_out == label].numpy()
        score += mixture.score_samples(theirs).sum() / len(held_out)
    other = time.perf_counter() - started

    ours = ClassMixture(10, CODE_SIZE, COMPONENTS, reg_covar=REG).double()
    started = time.perf_counter()
    ours.fit(codes, labels)
    taken = time.perf_counter() - started
    log_prob = ours.log_prob(held_out, of_held_out).mean().item()
    print(f"{COMPONENTS} Gaussians for each of ten classes, {len(codes):,} codes of {CODE_SIZE} numbers")
    print(
        f"  genrun {taken:.1f} s, scikit-learn's mixtures one after another {other:.1f} s: {other / taken:.2f} (≥ 1.5)"
    )
    print(f"  log-likelihood of held-out codes, nats: {log_prob:.2f} and {score:.2f} (within 1 %)")


if __name__ == "__main__":
    main()
