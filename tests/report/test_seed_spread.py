"""How much a metric varies from seed to seed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from genrun.report.expectations import Expectations, ExpectedRun, Number, Quantity
from genrun.report.seed_spread import Spread, allowance, spread_of, spreads_of


def target(name: str, *values: float, metric: str = "distance") -> Expectations:
    runs = {"small": ExpectedRun("small", (f"model={name}",), tuple(range(len(values))), 1)}
    return Expectations(name, "", runs, (Number(name, "", Quantity("small", metric), values),), (), ())


def test_the_spread_is_pooled_and_a_number_counts_once():
    targets = [target("a", 1.0, 1.2, 1.1), target("b", 10.0, 11.0, 12.0), target("a", 1.0, 1.2, 1.1), target("c", 5.0)]
    pooled = math.sqrt((2 * (0.1 / 1.1) ** 2 + 2 * (1 / 11) ** 2) / 4)
    assert spreads_of(targets) == {"distance": Spread(pytest.approx(pooled), 4, True)}
    signed = spreads_of([target("a", -1.0, 1.0, metric="C_T")])
    assert signed == {"C_T": Spread(pytest.approx(math.sqrt(2)), 1, False)}
    both = spreads_of(targets) | signed
    assert spread_of("C_T", both) == signed["C_T"]
    assert spread_of("unknown", both) == both["distance"]  # the widest relative one
    assert spread_of("unknown", {}) is None
    assert spread_of("parameters", both) is None


def test_a_metric_without_a_spread_takes_that_of_the_same_metric_in_other_features():
    narrow, wide = Spread(0.001, 2, True), Spread(0.1, 2, True)
    spreads = {"precision (observer)": narrow, "distance (observer)": wide}
    assert spread_of("precision (random)", spreads) == narrow
    assert spread_of("recall (random)", spreads) == wide


def test_numbers_of_the_machine_have_no_spread():
    seconds = target("a", 1.0, 9.0, metric="training, s")
    (row,) = seconds.rows
    assert spreads_of([replace(seconds, rows=(replace(row, of_machine=True),))]) == {}


def test_the_allowance_holds_new_seeds_as_often_as_it_says():
    """Pool the spread of five normal metrics with three seeds each, then see how often three new seeds of one are inside."""
    random = np.random.default_rng(0)
    level, inside, tries = 0.05, 0, 2000
    for _ in range(tries):
        old = 20 + random.normal(size=(5, 3))
        deviation = math.sqrt((old.var(axis=1, ddof=1)).mean())
        limit = allowance([(0.0, 3, Spread(deviation, 10, False))] * 2, level)
        inside += abs((20 + random.normal(size=3)).mean() - old[0].mean()) <= limit
    assert abs(inside / tries - (1 - level)) < 4 * math.sqrt(level * (1 - level) / tries)


def test_a_constant_varies_not():
    assert allowance([(1.0, 1, None)], 0.01) == 0.0
    assert allowance([(2.0, 1, Spread(0.1, 4, True)), (5.0, 1, None)], 0.01) == pytest.approx(4.604095 * 0.2)
