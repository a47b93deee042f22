"""What the numbers among the judge's options must at least be. Nothing here needs torch, so that a wrong number is refused at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrun.errors import Refused

NUM_FEATURES = 128  # of the observer, and of random convolutions
LEAST_STEPS = 8  # of a classifier's training: the one-cycle schedule needs as many
LEAST: dict[str, int] = {
    "neighbours": 1,
    "kernel_draws": 3,
    "kernel_size": 2,
    "sliced": 0,
    "reconstructions": 0,
    "likelihoods": 0,
    "importance_samples": 1,
    "linear_probe": 0,
    "combinations": 0,
    "blends": 0,
    "epoch_samples": 0,
    "epoch_every": 1,
}


def check_numbers(options: Mapping[str, Any]) -> None:
    """Check the numbers among the options of `genrun.evaluation.judge.Judge`; None stands for a number that is not used.

    Raises:
        Refused: a number is too small.
    """
    for name, least in LEAST.items():
        value = options.get(name)
        if value is not None and value < least:
            raise Refused(f"evaluation.{name}: expected at least {least}, got {value}")
    steps = options.get("train_on_generated")
    if steps and steps < LEAST_STEPS:
        raise Refused(f"evaluation.train_on_generated: expected 0 or at least {LEAST_STEPS}, got {steps}")


def check_enough(n: int, features: int, what: str) -> None:
    """Check that n samples are more than the features in which they are compared, whose covariance is needed.

    Args:
        features: length of the longest feature vector.
        what: where the samples come from, for the error message.

    Raises:
        Refused: they are too few.
    """
    if n <= features:
        raise Refused(
            f"{what}: {n} samples are too few, the judge compares {features} features and needs at least {features + 1}; "
            "draw more, or evaluation=none"
        )


def check_epoch_samples(n: int, features: int) -> None:
    """Check that the samples after an epoch, if there are any, are more than the features.

    Raises:
        Refused: they are too few.
    """
    if n and n <= features:
        raise Refused(f"evaluation.epoch_samples: expected more than the {features} features, got {n}")


def check_judge(options: Mapping[str, Any], n: int) -> None:
    """Check the options of genrun's judge, as far as they do not depend on the data.

    Args:
        options: those of `evaluation` in the configuration.
        n: number of samples that it will judge.

    Raises:
        Refused: a number is too small.
    """
    if options.get("_target_") != "genrun.evaluation.judge.Judge":
        return
    numbers = {name: value for name, value in options.items() if isinstance(value, int | float)}
    check_numbers(numbers)
    if options.get("observer") or options.get("random"):
        check_epoch_samples(numbers.get("epoch_samples", 0), NUM_FEATURES)
        check_enough(n, NUM_FEATURES, f"sample.n={n}")
