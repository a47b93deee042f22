"""Verdicts on numbers and claims."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genrun.report import reproduction
from genrun.report.expectations import Claim, Expectations, Number, Quantity
from genrun.report.reproduction import Spread, judge_claim, judge_number, spreads_of, tolerance

SMALL = Quantity("small", "distance")


def number(*values: float) -> Number:
    return Number("distance", "table 1", SMALL, values)


def claim(*, below: bool = True, factor: float = 1.0, margin: float = 0.0, expected: bool = True) -> Claim:
    return Claim("It is less.", "section 1", SMALL, below, Quantity("other", "distance"), factor, margin, expected)


def test_the_tolerance_holds_new_seeds_as_often_as_it_says():
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(2000):
        values, new = random.normal(size=3), random.normal(size=3)
        inside += abs(new.mean() - values.mean()) <= tolerance(values.tolist(), 3, None)
    share = reproduction.CONFIDENCE
    assert abs(inside / 2000 - share) < 4 * math.sqrt(share * (1 - share) / 2000)


def test_one_seed_takes_the_spread_of_the_metric_elsewhere():
    values = {"a": (1.0, 1.2, 1.1), "b": (10.0, 11.0, 12.0)}
    runs = {}
    targets = [
        Expectations(name, "", runs, (Number(name, "", SMALL, found),), (), ()) for name, found in values.items()
    ]
    spread = spreads_of(targets)["distance"]
    pooled = math.sqrt((2 * (0.1 / 1.1) ** 2 + 2 * (1 / 11) ** 2) / 4)
    assert spread == Spread(pytest.approx(pooled), 4, True)
    assert tolerance([2.0], 1, spread) == pytest.approx(4.604095 * 2 * pooled * math.sqrt(2))  # Student's t of 4, 0.995
    assert tolerance([2.0], 1, None) is None
    signed = [Expectations("c", "", runs, (Number("c", "", SMALL, (-1.0, 1.0)),), (), ())]
    assert spreads_of(signed)["distance"] == Spread(pytest.approx(math.sqrt(2)), 1, False)


@pytest.mark.parametrize(
    ("values", "got", "changed", "verdict", "unexpected"),
    [
        ((1.0, 1.1, 1.2), [1.1, 1.2, 1.15], False, "as expected", False),
        ((1.0, 1.1, 1.2), [3.0, 3.1, 3.2], False, "outside", True),
        ((1.0, 1.1, 1.2), [0.1, 0.1, 0.1], False, "outside", True),
        ((1.0, 1.1, 1.2), [3.0], True, "other settings", False),
        ((1.0, 1.1, 1.2), [], False, "not run", False),
        ((), [1.0], False, "not measured before", False),
        ((1.0,), [1.0], False, "as expected", False),
        ((1.0,), [1.1], False, "one seed", False),
        ((0.0, 0.0), [0.0, 0.0], False, "as expected", False),
    ],
)
def test_the_verdict_on_a_number(values, got, changed, verdict, unexpected):
    judged = judge_number(number(*values), got, None, changed=changed)
    assert (judged.verdict, judged.unexpected) == (verdict, unexpected)


@pytest.mark.parametrize(
    ("row", "left", "right", "verdict", "unexpected"),
    [
        (claim(), [1.0, 2.0], [1.6], "held", False),
        (claim(), [1.0, 2.0], [1.4], "did not hold", True),
        (claim(expected=False), [1.0, 2.0], [1.4], "did not hold", False),
        (claim(below=False), [1.0], [0.9], "held", False),
        (claim(factor=2), [1.0], [1.9], "did not hold", True),
        (claim(factor=2), [1.0], [2.1], "held", False),
        (claim(below=False, margin=-0.1), [1.0], [1.05], "held", False),
        (claim(), [], [1.0], "not run", False),
    ],
)
def test_the_verdict_on_a_claim(row, left, right, verdict, unexpected):
    judged = judge_claim(row, left, right, changed=False)
    assert (judged.verdict, judged.unexpected) == (verdict, unexpected)
    assert not judge_claim(row, left, right, changed=True).unexpected
