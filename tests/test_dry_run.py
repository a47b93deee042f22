"""`--dry-run` tells what would run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from conftest import TINY, genrun
from pytorch_lightning.loggers import Logger

from genrun.dry_run import StepClock


def test_dry_run_prints_shapes_parameters_and_time_and_writes_nothing(here, monkeypatch, capsys):
    before = sorted(here.rglob("*"))
    assert genrun(*TINY, "--dry-run", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "image (32, 1, 8, 8)" in shown and "parameters" in shown and ": new" in shown
    of_image = (
        (10 + 32 + 1) * 24 + (24 + 1) * 16 + (16 + 1) * 2 * 16
    )  # class and code → weights of 16 functions, for d and g
    weights = of_image + (2 + 4 * 4 + 1) * 16 + (16 + 1) * 16 + 2  # place → the functions; two biases
    assert f"{weights:,}" in shown
    assert "2 epochs of 7 steps" in shown
    assert shown.startswith(
        "data digits: 537 images of 1×8×8 (C×H×W): 200 to train, 137 held out, 200 to test; 10 classes: 0 "
    )
    assert "data.limit=200 of each split, counted after holding out" in shown.splitlines()[0]
    assert sorted(here.rglob("*")) == before


class Spy(Logger):
    """A logger that must not be used."""

    def __init__(self, save_dir: str) -> None:
        super().__init__()

    @property
    def name(self) -> str:
        return "spy"

    version = name

    def log_hyperparams(self, *_, **__) -> None:
        raise AssertionError("a dry run logs nothing")

    log_metrics = experiment = log_hyperparams


def test_a_dry_run_builds_the_loggers_and_logs_nothing(here, monkeypatch, capsys):
    assert genrun(*TINY, "--dry-run", f"+logger.spy._target_={__name__}.Spy", monkeypatch=monkeypatch) == 0, (
        capsys.readouterr().err
    )


@pytest.fixture
def clock(monkeypatch):
    """Give a clock steps of these seconds: step times → the clock, and the trainer that it watched."""

    def start(*steps: float) -> tuple[StepClock, SimpleNamespace]:
        now = [0.0]
        monkeypatch.setattr("genrun.dry_run.time.monotonic", lambda: now[0])
        clock, trainer = StepClock(epochs=100), SimpleNamespace(should_stop=False)
        clock.on_train_start(trainer, SimpleNamespace(epochs_needed=lambda: None))
        for seconds in steps:
            assert not trainer.should_stop
            now[0] += seconds
            clock.on_train_batch_end(trainer, None, None, "batch", 0)
        return clock, trainer

    return start


def test_what_is_done_once_does_not_count_as_a_step(clock):
    assert clock(5.0, 1.0, 1.0, 0.1, 0.1, 0.1)[0].seconds == pytest.approx(0.1)
    assert clock(5.0, 0.1)[0].seconds == pytest.approx(0.1)
    assert clock(5.0)[0].seconds == 5.0


def test_the_clock_stops_after_enough_steps_or_seconds(clock):
    assert clock(*[0.1] * 13)[1].should_stop
    assert clock(8.0, 8.0)[1].should_stop
    assert not clock(20.0)[1].should_stop


def test_epochs_of_one_step_are_timed_over_several_epochs(here, monkeypatch, capsys):
    taken = []
    monkeypatch.setattr(StepClock, "seconds", property(lambda clock: taken.append(len(clock.ends)) or 0.0))
    assert genrun(*TINY, "data.batch_size=200", "trainer.max_epochs=5", "--dry-run", monkeypatch=monkeypatch) == 0
    assert "5 epochs of 1 steps" in capsys.readouterr().out and taken[0] == 5


def test_a_wrong_option_of_a_watcher_is_seen(here, monkeypatch, capsys):
    assert genrun(*TINY, "callbacks.watching.codes.most=0", "--dry-run", monkeypatch=monkeypatch) == 2
    assert "callbacks.watching.codes: most: expected at least 1, got 0" in capsys.readouterr().err
