"""The parts of a search that use Optuna: the study, its journal, the distributions, and the report of a trial's epochs."""

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

STUDY = "genrun"  # name of the study; each journal holds one


def study_of(folder: Path, direction: str, pruner: Any = None) -> optuna.Study:
    """Open the study in a sweep's folder, or create it where there is none."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    class Lock:
        """Locks the journal with flock.

        The kernel releases it when a process is killed; Optuna's own lock would then wait for half a minute.
        """

        def acquire(self) -> bool:
            self.descriptor = os.open(folder / "journal.lock", os.O_RDWR | os.O_CREAT)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            return True

        def release(self) -> None:
            os.close(self.descriptor)

    file, lock = folder / "journal.log", Lock()
    if file.is_file():
        lock.acquire()
        cut_incomplete_line(file)
        lock.release()
    storage = JournalStorage(JournalFileBackend(str(file), lock))
    return optuna.create_study(
        storage=storage, study_name=STUDY, direction=direction, pruner=pruner, load_if_exists=True
    )


def cut_incomplete_line(journal: Path) -> None:
    """Cut off the last line of a journal when it is incomplete, as after a full disk or a power failure."""
    content = journal.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)


def first_value(distribution: optuna.distributions.BaseDistribution) -> float:
    """Return the first value of a distribution, in Optuna's internal representation (an index for choices)."""
    return 0 if hasattr(distribution, "choices") else distribution.low


def to_distribution(override: Any) -> optuna.distributions.BaseDistribution:
    """Convert an override that Hydra has parsed to the distribution that Optuna draws its values from.

    Raises:
        Refused: there is no such distribution.
    """
    from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, RangeSweep
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    value = override.value()
    log = "log" in getattr(value, "tags", ())
    try:
        if isinstance(value, ChoiceSweep | Glob):
            return CategoricalDistribution(list(override.sweep_string_iterator()))
        if isinstance(value, RangeSweep) and isinstance(value.start, int) and isinstance(value.step, int):
            return IntDistribution(value.start, value.stop - 1, log=log, step=value.step)
        if isinstance(value, RangeSweep):
            return FloatDistribution(value.start, value.stop, log=log, step=value.step)
        if isinstance(value, IntervalSweep) and isinstance(value.start, int) and isinstance(value.end, int):
            return IntDistribution(value.start, value.end, log=log)
        if isinstance(value, IntervalSweep):
            return FloatDistribution(value.start, value.end, log=log)
    except ValueError as error:
        raise Refused(f"{override.input_line}: {error}") from error
    raise Refused(f"{override.input_line}: expected choice(…), range(…) or interval(…)")


@dataclass(frozen=True)
class TrialReporter:
    """Reports the epochs of a trial to its search, from the job's process.

    Args:
        folder: of the sweep.
        direction: of the search, `minimize` or `maximize`.
        trial: the trial's number.
        watched: the metric, a column of metrics.csv.
        pruner: makes the pruner.
    """

    folder: str
    direction: str
    trial: int
    watched: str
    pruner: Callable[..., Any]

    def callback(self) -> Callback:
        """Return a callback that reports the metric after each saved epoch, and ends the run when the pruner says so."""
        import optuna
        from pytorch_lightning import Callback

        from genrun.callbacks.checkpoint import RunCheckpoint

        study = study_of(Path(self.folder), self.direction, self.pruner())
        trial, watched = trial_of(study, self.trial), self.watched

        class ReportEpochs(Callback):
            reported = 0  # number of epochs
            last_row: dict[str, Any] | None = None

            def on_train_epoch_start(self, trainer: Any, method: Any) -> None:
                checkpoint = next(one for one in trainer.callbacks if isinstance(one, RunCheckpoint))
                if not checkpoint.phase.is_last:  # a search watches the last phase of a training
                    return
                kind = watched.partition("/")[0]
                # a resumed run also reports the epochs from before it was interrupted
                for row in checkpoint.rows[self.reported :]:
                    columns = sorted(name for name in row if name.startswith(f"{kind}/"))
                    if columns and watched not in row:  # an epoch without validation has no val/ columns
                        raise Failed(
                            f"hydra.sweeper.watched={watched}: no such column of metrics.csv; there are {', '.join(columns)}"
                        )
                    if watched not in row:
                        continue
                    # raised when the search was killed, and a later start of it has ended this trial
                    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
                        trial.report(row[watched], row["epoch"])
                        self.last_row = row
                self.reported = len(checkpoint.rows)
                if self.last_row and trial.should_prune():
                    progress = f"after epoch {checkpoint.rows[-1]['epoch']}, {watched} {self.last_row[watched]:.4g}"
                    raise Pruned(f"{progress}; the run's own command goes on from there")

        return ReportEpochs()
