"""How a learning rate runs over the training."""

from __future__ import annotations

import math
from typing import Literal

LearningRateSchedule = Literal["constant", "linear", "cosine"]

WARM_UP = 0.02  # share of the training


def rate_share(schedule: LearningRateSchedule, done: float) -> float:
    """The share of its full value that a rate has when the share s of the training is `done`: 1, 1 - s, or ½ + ½ cos(πs)."""
    if schedule == "constant":
        return 1.0
    return 1 - done if schedule == "linear" else 0.5 + 0.5 * math.cos(math.pi * done)


def warm_up(done: float) -> float:
    """A factor that rises from nearly 0 to 1 over the first 2 % of the training."""
    return min(1.0, (done + 1e-4) / WARM_UP)
