"""Clip gradients before each step, for every method, optimizer and precision."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from genrun.errors import Refused, nearest

CLIPPED = {"norm": clip_grad_norm_, "value": clip_grad_value_}  # trainer.gradient_clip_algorithm -> torch's function


class GradientClipping(Callback):
    """A callback that clips the gradients of an optimizer just before its step.

    Lightning's own clipping refuses fused optimizers, and methods that step by themselves.

    Args:
        limit: the largest norm of all gradients of an optimizer, or the largest value of each gradient.
        algorithm: `norm` or `value`.
    """

    def __init__(self, limit: float, algorithm: str) -> None:
        self.limit, self.algorithm = limit, algorithm

    def on_train_start(self, trainer: pl.Trainer, method: pl.LightningModule) -> None:
        if not method.automatic_optimization:
            # such a method may step without Lightning's wrapper, which calls the hook below
            for optimizer in trainer.optimizers:
                optimizer.register_step_pre_hook(lambda optimizer, *_: self._clip(optimizer))

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, method: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        if not method.automatic_optimization:
            return
        scaler = getattr(trainer.precision_plugin, "scaler", None)  # of 16-mixed
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)  # a fused optimizer would do it in its step, after the clipping
        self._clip(optimizer)

    def _clip(self, optimizer: torch.optim.Optimizer) -> None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        CLIPPED[self.algorithm](weights, self.limit)


def clipping_of(trainer: DictConfig) -> list[Callback]:
    """Return the callback that `trainer.gradient_clip_val` asks for; none if it is null or 0.

    Args:
        trainer: the configuration's section `trainer`.

    Raises:
        Refused: an option is wrong.
    """
    limit: Any = trainer.get("gradient_clip_val")
    algorithm = str(trainer.get("gradient_clip_algorithm") or "norm")
    if algorithm not in CLIPPED:
        raise Refused(
            f"trainer.gradient_clip_algorithm: expected {' or '.join(CLIPPED)}, got {algorithm!r}{nearest(algorithm, CLIPPED)}"
        )
    if limit is None and trainer.get("gradient_clip_algorithm") is not None:
        raise Refused(f"trainer.gradient_clip_algorithm={algorithm} needs trainer.gradient_clip_val, got null")
    if limit is None:
        return []
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit < math.inf:
        raise Refused(f"trainer.gradient_clip_val: expected a number of at least 0, or null, got {limit!r}")
    return [GradientClipping(limit, algorithm)] if limit else []
