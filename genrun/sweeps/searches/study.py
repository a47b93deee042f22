"""Optuna's side of a search: the study and its journal, what options are drawn from, and how a job's process reports its epochs."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrun.compat import trial_of
from genrun.errors import Failed, Pruned, Refused

if TYPE_CHECKING:
    import optuna
    from pytorch_lightning import Callback

STUDY = "genrun"  # one in each journal


def study_of(folder: Path, direction: str, pruner: Any = None) -> optuna.Study:
    """The study of a sweep's folder, made where there is none."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    class Lock:
        """Let go of by the kernel when its process is killed, where Optuna's own would wait for half a minute."""

        def acquire(self) -> bool:
            self.descriptor = os.open(folder / "journal.lock", os.O_RDWR | os.O_CREAT)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            return True

        def release(self) -> None:
            os.close(self.descriptor)

    file, lock = folder / "journal.log", Lock()
    if file.is_file():
        lock.acquire()
        mend(file)
        lock.release()
    storage = JournalStorage(JournalFileBackend(str(file), lock))
    return optuna.create_study(
        storage=storage, study_name=STUDY, direction=direction, pruner=pruner, load_if_exists=True
    )


def mend(journal: Path) -> None:
    """Cut off a last line that was not written to its end: the disk was full, or the power went."""
    content = journal.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)


def lowest(one: optuna.distributions.BaseDistribution) -> float:
    """The first value that can be drawn, as Optuna keeps it."""
    return 0 if hasattr(one, "choices") else one.low


def distribution(word: Any) -> optuna.distributions.BaseDistribution:
    """What Optuna draws an option from, of Hydra's reading of it.

    Raises:
        Refused: it cannot be drawn from.
    """
    from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, RangeSweep
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = word.value()
    log = "log" in getattr(value, "tags", ())
    try:
        if isinstance(value, ChoiceSweep):
            return CategoricalDistribution(list(word.sweep_string_iterator()))
        if isinstance(value, RangeSweep) and isinstance(value.start, int) and isinstance(value.step, int):
            return IntDistribution(value.start, value.stop - 1, log=log, step=value.step)
        if isinstance(value, RangeSweep):
            return FloatDistribution(value.start, value.stop, log=log, step=value.step)
        if isinstance(value, IntervalSweep) and isinstance(value.start, int) and isinstance(value.end, int):
            return IntDistribution(value.start, value.end, log=log)
        if isinstance(value, IntervalSweep):
            return FloatDistribution(value.start, value.end, log=log)
    except ValueError as error:
        raise Refused(f"{word.input_line}: {error}") from error
    raise Refused(f"{word.input_line}: expected choice(…), range(…) or interval(…)")


@dataclass(frozen=True)
class Watch:
    """What a job's process needs to let a search see its epochs.

    Args:
        folder: of the sweep.
        direction: of the search.
        trial: its number.
        watched: the metric.
        pruner: makes the pruner.
    """

    folder: str
    direction: str
    trial: int
    watched: str
    pruner: Callable[..., Any]

    def callback(self) -> Callback:
        """Reports the metric once an epoch is over and saved, and ends the run where the pruner says so."""
        import optuna
        from pytorch_lightning import Callback

        from genrun.callbacks.checkpoint import RunCheckpoint

        study = study_of(Path(self.folder), self.direction, self.pruner())
        trial, watched = trial_of(study, self.trial), self.watched

        class Reports(Callback):
            told = 0  # epochs
            last: dict[str, Any] | None = None

            def on_train_epoch_start(self, trainer: Any, method: Any) -> None:
                checkpoint = next(one for one in trainer.callbacks if isinstance(one, RunCheckpoint))
                kind = watched.partition("/")[0]
                for row in checkpoint.rows[self.told :]:  # of a resumed run, those of before as well
                    there = sorted(name for name in row if name.startswith(f"{kind}/"))
                    if there and watched not in row:  # an epoch without validation has none of its kind
                        raise Failed(
                            f"hydra.sweeper.watched={watched}: no such column of metrics.csv; there are {', '.join(there)}"
                        )
                    if watched not in row:
                        continue
                    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):  # its search has died
                        trial.report(row[watched], row["epoch"])
                        self.last = row
                self.told = len(checkpoint.rows)
                if self.last and trial.should_prune():
                    said = f"after epoch {checkpoint.rows[-1]['epoch']}, {watched} {self.last[watched]:.4g}"
                    raise Pruned(f"{said}; the run's own command goes on from there")

        return Reports()
