"""Samplers as tables of numbers: each evaluation of the network is a linear step, which another program can take without this code."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class LinearStep(NamedTuple):
    r"""One evaluation of the network on the way from noise to images.

    With the state x, a memory m (zeros at the start), the output o of the network at (x, time) and fresh noise ε ~ N(0, I):

        y = clip(of_x x + of_output o, -limit, limit)
        x' = keep x + add y + recall m + fresh ε
        m' = store_x x + store y
    """

    time: float
    of_x: float = 0.0
    of_output: float = 1.0
    limit: float = math.inf
    keep: float = 1.0
    add: float = 0.0
    recall: float = 0.0
    fresh: float = 0.0
    store_x: float = 0.0
    store: float = 0.0

    def unclipped(self) -> LinearStep:
        """Return the same step with y = o, if nothing is clipped: y itself may be large where hardly any of the image is left in x."""
        if self.limit != math.inf:
            return self
        return self._replace(
            of_x=0.0,
            of_output=1.0,
            keep=self.keep + self.add * self.of_x,
            add=self.add * self.of_output,
            store_x=self.store_x + self.store * self.of_x,
            store=self.store * self.of_output,
        )

    def of_other_output(self, time: float, x: float, output: float) -> LinearStep:
        """Return the same step for a network whose output p, at another `time`, gives o = x·x_t + output·p."""
        return self._replace(
            time=time, of_x=self.of_x + self.of_output * x, of_output=self.of_output * output
        ).unclipped()


def multistep_steps(
    images: Sequence[LinearStep], levels: Sequence[tuple[float, float]], eta: float
) -> list[LinearStep]:
    """Return the steps of `genrun.maths.samplers.multistep`.

    Args:
        images: for each step its time, and how x̂ = y follows from the output of the network.
        levels: (a, σ) of each level; the last one has σ = 0.
        eta: η in [0, 1].
    """
    made: list[LinearStep] = []
    before = math.inf  # h of the step before
    for step, ((a, sigma), (next_a, next_sigma)) in zip(images, pairwise(levels), strict=True):
        if not next_sigma:
            made.append(step._replace(keep=0.0, add=1.0))
            break
        h = math.log(next_a * sigma / (a * next_sigma)) if a else math.inf
        share = next_a * -math.expm1(-(1 + eta) * h)  # of D
        line = h / (2 * before) if made else 0.0
        made.append(
            step._replace(
                keep=next_sigma / sigma * (math.exp(-eta * h) if eta else 1.0),
                add=share * (1 + line),
                recall=-share * line,
                fresh=next_sigma * (-math.expm1(-2 * eta * h)) ** 0.5 if eta else 0.0,
                store=1.0,
            )
        )
        before = h
    return made
