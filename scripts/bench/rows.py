"""A row of the bench: one measured number of genrun, and that of the code that it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Row:
    """One line of the table and of bench.json.

    Args:
        name: says what is measured; it stays the same, because rows of two files are compared by it.
        ours: what genrun needs or does, in `unit`.
        other: the same of the other code; None: there is none.
        unit: such as `images/s` or `s`.
        ratio: how many times better genrun is: above 1 it is faster, or smaller, than the other code. None: there is no other code.
        goal: the least `ratio`, or the largest `ours` of a row without a ratio; None: there is no goal.
        note: sizes, further numbers, or why a goal is not met.
        subject: that measured the row.
    """

    name: str
    ours: float
    other: float | None = None
    unit: str = "s"
    ratio: float | None = None
    goal: float | None = None
    note: str = ""
    subject: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal is met, or there is none."""
        if self.goal is None:
            return True
        return self.ours <= self.goal if self.ratio is None else self.ratio >= self.goal


def rate(name: str, ours: float, other: float, unit: str = "images/s", **more: float | str | None) -> Row:
    """Return a row of two rates: more is better."""
    return Row(name, ours, other, unit, ours / other, **more)


def cost(name: str, ours: float, other: float, unit: str = "s", **more: float | str | None) -> Row:
    """Return a row of two costs: less is better."""
    return Row(name, ours, other, unit, other / ours, **more)


FITTED = 3  # largest sizes that the exponent is fitted to: at the smaller ones a fixed cost hides the growth
LINEAR = 1.1  # largest exponent that counts as linear


def growth(name: str, sizes: Sequence[float], values: Sequence[float], unit: str, note: str = "") -> Row:
    """Return a row whose number is the exponent k of growth: value ∝ size^k, fitted in log-log to the largest sizes."""
    x, y = np.log(sizes[-FITTED:]), np.log(values[-FITTED:])
    exponent = float(np.polyfit(x, y, 1)[0])
    numbers = ", ".join(f"{size:,}: {value:.3g}" for size, value in zip(sizes, values, strict=True))
    return Row(name, exponent, unit="exponent", goal=LINEAR, note=f"{numbers} {unit}" + (f"; {note}" if note else ""))
