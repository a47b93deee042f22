"""A linear probe: how well a linear classifier recognises the class of a code."""

from __future__ import annotations

import warnings

from torch import Tensor

MOST_STEPS = 100  # of L-BFGS; more steps change the accuracy little


def linear_probe(codes: Tensor, labels: Tensor, test_codes: Tensor, test_labels: Tensor) -> float:
    """Return the share of test codes whose class a multinomial logistic regression predicts correctly.

    Each unit is first brought to mean 0 and deviation 1 of the codes that the regression is fitted to. A constant unit is only shifted.

    Args:
        codes: (N, D), to fit the regression to.
        labels: (N,) integers.
        test_codes: (M, D).
        test_labels: (M,) integers.

    References:
        Alain and Bengio, Understanding intermediate layers using linear classifier probes, 2016.

    Raises:
        ValueError: codes of fewer than two classes, or codes that are not finite.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    codes, test_codes = (each.detach().float().cpu().flatten(1) for each in (codes, test_codes))
    mean, deviation = codes.mean(0), codes.std(0, correction=0)
    deviation[deviation == 0] = 1
    fitted, tested = (((each - mean) / deviation).numpy() for each in (codes, test_codes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression = LogisticRegression(max_iter=MOST_STEPS).fit(fitted, labels.cpu().numpy())
        return float(regression.score(tested, test_labels.cpu().numpy()))
