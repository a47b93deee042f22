"""What the trainer logs."""

from __future__ import annotations

import pytest


def test_tensorboard_is_written_beside(tiny):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = tiny("logger=tensorboard")
    events = EventAccumulator(str(folder.path / "tensorboard"))
    events.Reload()
    logged = [event.value for event in events.Scalars("train/g")]
    assert logged == pytest.approx([row["train/g"] for row in folder.metrics()])
