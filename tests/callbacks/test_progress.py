"""The line of an epoch: its rate is of the steps alone, without the look at held-out images between the last step and the line."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from genrun.callbacks import progress
from genrun.callbacks.progress import TrainingProgress
from genrun.system.console import screen
from genrun.types import Phase


@pytest.fixture
def lines(monkeypatch):
    """The lines that are said, and a clock that the test sets."""
    said, clock = [], SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "say", lambda console, line: said.append(line))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return said, clock


def test_the_rate_is_of_the_steps_alone(lines):
    said, clock = lines
    phase = Phase("", 3)
    shown = TrainingProgress(screen(), phase, [phase])
    trainer = SimpleNamespace(current_epoch=0, max_epochs=3, world_size=2, num_training_batches=2, callback_metrics={})
    method = SimpleNamespace(running_means=lambda: {"loss": 0.5})
    shown.on_train_start(trainer, method)
    shown.on_train_epoch_start(trainer, method)
    for clock.now in (1.0, 2.0):
        shown.on_train_batch_end(trainer, method, None, [torch.zeros(50)], 0)
    clock.now = 10.0
    shown.on_train_epoch_end(trainer, method)
    assert said == ["epoch 1/3  loss 0.5  100 images/s  20 s left"]  # 2 ranks, 2 steps of 50 images, 2 s; 10 s an epoch
