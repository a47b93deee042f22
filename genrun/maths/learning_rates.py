"""Learning rate schedules: how a learning rate changes over the training."""

from __future__ import annotations

import math
from typing import Literal

LearningRateSchedule = Literal["constant", "linear", "cosine"]

WARM_UP = 0.02  # as a share of the training


def rate_share(schedule: LearningRateSchedule, done: float) -> float:
    """Return the learning rate as a share of its full value.

    When the share s of the training is `done`, this is 1 (constant), 1 - s (linear) or ½ + ½ cos(πs) (cosine).
    """
    if schedule == "constant":
        return 1.0
    return 1 - done if schedule == "linear" else 0.5 + 0.5 * math.cos(math.pi * done)


def warm_up(done: float) -> float:
    """Return the warm-up factor at the share `done` of the training: it rises from nearly 0 to 1 over the first 2 %."""
    return min(1.0, (done + 1e-4) / WARM_UP)
