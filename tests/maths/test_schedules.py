"""Schedules of noise in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.diffusion import bars

from genrun.maths.schedules import Cosine, Linear


@pytest.mark.parametrize("steps", [2, 3, 10, 500])
def test_the_linear_schedule_is_a_line_from_start_to_end(steps):
    betas = Linear(steps, 0.002, 0.03).betas()
    assert betas.dtype == torch.float64
    np.testing.assert_allclose(betas, [0.002 + k / (steps - 1) * 0.028 for k in range(steps)], rtol=1e-13)


@pytest.mark.parametrize("steps", [2, 3, 10, 500])
@pytest.mark.parametrize("s", [0.0, 0.008, 0.1])
def test_the_cosine_schedule_is_its_closed_form(steps, s):
    schedule = Cosine(steps, s)
    f = [math.cos(math.pi / 2 * (t / steps + s) / (1 + s)) ** 2 for t in range(steps + 1)]
    found = bars(schedule)
    np.testing.assert_allclose(found[:-1], np.array(f[:-1]) / f[0], rtol=1e-9)  # (14), (15)
    assert schedule.betas()[-1] == 0.999  # f(T) = 0
    assert found[-1] == pytest.approx(0.001 * found[-2])
    assert schedule.betas().max() <= 0.999 and schedule.betas().min() > 0


def test_schedules_refuse_what_is_none():
    for kind in (Linear, Cosine):
        with pytest.raises(ValueError, match=r"model\.beta_schedule\.steps: expected at least 2, got 1"):
            kind(1)
    for start, end in ((0.0, 0.1), (0.2, 0.1), (0.1, 1.0)):
        with pytest.raises(ValueError, match=r"expected 0 < start ≤ end < 1"):
            Linear(10, start, end)
    with pytest.raises(ValueError, match=r"s: expected a number of at least 0, got -0.1"):
        Cosine(10, -0.1)
