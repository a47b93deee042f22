"""The training of a prior of codes that is a network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim import Optimizer

from genrun.maths.learning_rates import rate_share, warm_up
from genrun.maths.mixtures import Progress

SEED = 0  # of the random numbers of a training, which are always the same


def train(
    optimizer: Optimizer,
    loss: Callable[[], Tensor],
    *,
    passes: int,
    steps: int,
    after_step: Callable[[int], None] | None = None,
    progress: Progress | None = None,
) -> None:
    """Take steps down a loss; the learning rate rises to that of the optimizer in the first 2 %, then falls to 0 as a cosine.

    Args:
        optimizer: of one group of parameters.
        loss: returns the loss of the next batch; it is called once in each step.
        passes, steps: number of passes over the codes, and number of steps in a pass.
        after_step: is called with the number of each step, from 0, when it is done.
        progress: is called with the passes, as they get done, and their number.

    Raises:
        ValueError: a parameter is NaN or Inf after the training.
    """
    (group,) = optimizer.param_groups
    lr = group["lr"]
    numbers = range(passes)
    for number in progress(numbers, passes) if progress else numbers:
        for step in range(number * steps, (number + 1) * steps):
            done = step / (passes * steps)
            group["lr"] = lr * rate_share("cosine", done) * warm_up(done)
            with torch.enable_grad():
                value = loss()
                optimizer.zero_grad()
                value.backward()
            optimizer.step()
            if after_step is not None:
                after_step(step)
    if not all(weight.isfinite().all() for weight in group["params"]):
        raise ValueError(f"the prior's training diverged: lower model.prior.lr ({lr})")
