"""Numbers of the judge that are refused before torch is imported."""

from __future__ import annotations

import pytest

from genrun.config.compose import compose
from genrun.config.container import plain
from genrun.errors import Refused
from genrun.evaluation.features import RandomConvolutions
from genrun.evaluation.limits import LEAST, NUM_FEATURES, check_judge

FULL = {"_target_": "genrun.evaluation.judge.Judge", "observer": {}, "random": True}


def test_too_few_samples_are_refused():
    assert RandomConvolutions((1, 8, 8)).num_features == NUM_FEATURES
    with pytest.raises(
        Refused, match=r"^sample.n=128: 128 samples are too few, .* 128 features and needs at least 129"
    ):
        check_judge(FULL, NUM_FEATURES)
    with pytest.raises(Refused, match=r"^evaluation.epoch_samples: expected more than the 128 features, got 128"):
        check_judge(FULL | {"epoch_samples": 128}, 10_000)
    check_judge(FULL | {"epoch_samples": 0}, NUM_FEATURES + 1)
    check_judge(
        FULL | {"observer": None, "random": False}, 1
    )  # nothing is compared, or the classifier's features, which the data decide
    check_judge(FULL | {"_target_": "my.Judge"}, 1)


def test_every_number_of_the_judge_has_its_least_value():
    full = plain(compose([]).evaluation)
    check_judge(full, 10_000)
    numbers = {name for name, value in full.items() if isinstance(value, int) and not isinstance(value, bool)}
    assert numbers == {*LEAST, "train_on_generated"}
    for name, least in LEAST.items():
        with pytest.raises(Refused, match=f"^evaluation.{name}: expected at least {least}, got {least - 1}"):
            check_judge(full | {name: least - 1}, 10_000)
    with pytest.raises(Refused, match=r"^evaluation.train_on_generated: expected 0 or at least 8, got 7"):
        check_judge(full | {"train_on_generated": 7}, 10_000)
