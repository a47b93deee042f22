"""A search by Optuna: its trials are jobs, its journal lies in the sweep's folder, so that it goes on after a kill."""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import OmegaConf

from genrun.errors import Failed, Pruned, Refused, nearest
from genrun.runs import write_atomic
from genrun.sweeps.grid import parsed
from genrun.sweeps.jobs import Outcome

if TYPE_CHECKING:
    import optuna
    from pytorch_lightning import Callback

STUDY = "genrun"  # one in each journal
NOT_OF_AN_EXPERIMENT = ("paths.", "run.", "sweep.", "logger")


class Search:
    """The best configuration by one figure of results.json.

    Args:
        objective: the name of its row.
        direction: `minimize` or `maximize`.
        trials: altogether, over all times that the command is given.
        sampler: makes the sampler, from a seed.
        seed: of the sampler; with one job at once a search repeats.
        watched: column of metrics.csv by which trials are pruned after an epoch; None: every trial runs to its end.
        pruner: makes the pruner.
        write_best: name of the experiment that the best trial becomes in the user's own configuration folder.

    Raises:
        Refused: no trial is asked for.

    References:
        Akiba et al., Optuna: a next-generation hyperparameter optimization framework, 2019.
    """

    def __init__(
        self,
        objective: str,
        direction: Literal["minimize", "maximize"],
        trials: int,
        sampler: Callable[..., Any],
        seed: int,
        watched: str | None,
        pruner: Callable[..., Any],
        write_best: str | None,
    ) -> None:
        if trials < 1:
            raise Refused(f"hydra.sweeper.trials: expected at least 1, got {trials}")
        self.objective, self.direction, self.size = objective, direction, trials
        self.sampler, self.seed, self.watched, self.pruner, self.write_best = sampler, seed, watched, pruner, write_best
        self.asked: dict[int, optuna.trial.Trial] = {}

    # -- the sweep asks and tells

    def begin(self, overrides: list[str], folder: Path, config_dir: str | None) -> list[tuple[list[str], Outcome]]:
        import optuna

        if self.write_best is not None and config_dir is None:
            raise Refused(f"hydra.sweeper.write_best={self.write_best}: into which folder? Give --config-dir as well")
        self.config_dir, self.folder = config_dir, folder
        read = parsed(overrides)
        self.fixed = [text for text, word in zip(overrides, read, strict=True) if not word.is_sweep_override()]
        self.space = {word.get_key_element(): distribution(word) for word in read if word.is_sweep_override()}
        if not self.space:
            raise Refused(
                "hydra/sweeper=optuna: nothing to search; write some options as choice(…), range(…) or interval(…)"
            )
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = study_of(folder, self.direction)
        try:
            self.pruner()
        except (TypeError, ValueError) as error:
            raise Refused(f"hydra.sweeper.pruner: {error}") from error
        before = self.study.get_trials(deepcopy=False)
        self.study.sampler = self.sampler(seed=self.seed + len(before))  # one that began anew would repeat itself
        earlier, running = [], optuna.trial.TrialState.RUNNING
        for trial in before:
            if trial.state == running:  # it was interrupted, or its search was killed: the same is asked again
                self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                self.study.enqueue_trial(trial.params)
            elif "state" in trial.user_attrs:
                outcome = Outcome(**{key: trial.user_attrs[key] for key in ("state", "error", "run")})
                earlier.append((self.fixed + in_words(trial.params), outcome))
        self.told = len(earlier)
        return earlier

    def ask(self, number: int) -> list[str] | None:
        if number >= self.size:
            return None
        trial = self.asked[number] = self.study.ask(self.space)
        return self.fixed + in_words(trial.params)

    def watch(self, number: int) -> Watch | None:
        if self.watched is None:
            return None
        return Watch(str(self.folder.resolve()), self.direction, self.asked[number].number, self.watched, self.pruner)

    def tell(self, number: int, outcome: Outcome) -> None:
        from optuna.trial import TrialState

        if outcome.state in (
            "interrupted",
            "skipped",
        ):  # still running as far as the journal knows: asked again next time
            return
        trial, value = self.asked.pop(number), None
        for key in ("state", "error", "run"):
            trial.set_user_attr(key, getattr(outcome, key))
        if outcome.state == "done":
            value = value_of(Path(outcome.run), self.objective)
        state = TrialState.PRUNED if outcome.state == "pruned" else TrialState.FAIL
        if value is not None and math.isfinite(value):
            self.study.tell(trial, value)
        else:
            self.study.tell(trial, state=state)

    def end(self) -> list[str]:
        """The best trial, in words; it is written where that was asked for."""
        from optuna.trial import TrialState

        if not self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
            return ["no trial came to a value yet"]
        best = self.study.best_trial
        chosen = in_words(best.params)
        said = [f"\nbest: {self.objective} {best.value:.4g} with {' '.join(chosen)}\n      {best.user_attrs['run']}"]
        if self.write_best is not None:
            file = Path(self.config_dir, "experiment", f"{self.write_best}.yaml")
            file.parent.mkdir(parents=True, exist_ok=True)
            title = f"# {self.objective} {best.value:.6g}: the best of {len(self.study.trials)} trials, {best.user_attrs['run']}"
            write_atomic(file, as_experiment(self.fixed + chosen, title))
            said.append(f"written to {file}: genrun --config-dir {self.config_dir} experiment={self.write_best}")
        return said


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

    storage = JournalStorage(JournalFileBackend(str(folder / "journal.log"), Lock()))
    return optuna.create_study(
        storage=storage, study_name=STUDY, direction=direction, pruner=pruner, load_if_exists=True
    )


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


def in_words(params: dict[str, Any]) -> list[str]:
    """The chosen values as overrides."""
    return [f"{key}={value}" for key, value in params.items()]


def value_of(run: Path, objective: str) -> float | None:
    """A figure of a finished run; None where it could not be had.

    Raises:
        Refused: there is no such row, or it holds no number.
    """
    rows = {row["name"]: row["value"] for row in json.loads((run / "results.json").read_text())["rows"]}
    if objective not in rows:
        raise Refused(
            f"hydra.sweeper.objective={objective}: {run}/results.json has no such row{nearest(objective, rows)}"
        )
    if isinstance(rows[objective], str):
        raise Refused(f"hydra.sweeper.objective={objective}: expected a number, got {rows[objective]!r}")
    return rows[objective]


def as_experiment(overrides: list[str], title: str) -> str:
    """Overrides as the YAML of an experiment: choices of groups in its defaults list, the rest as options."""
    groups = [word for word in parsed(overrides) if "." not in word.key_or_group and word.key_or_group != "seed"]
    choices = [
        word.value() if word.key_or_group == "experiment" else {f"override /{word.key_or_group}": word.value()}
        for word in groups
    ]
    options = [
        text.lstrip("+")
        for text in overrides
        if not text.startswith((*(f"{word.key_or_group}=" for word in groups), *NOT_OF_AN_EXPERIMENT))
    ]
    content = OmegaConf.create({"defaults": [*choices, "_self_"]}) if choices else OmegaConf.create({})
    content = OmegaConf.merge(content, OmegaConf.from_dotlist(options))
    return f"# @package _global_\n{title}\n{OmegaConf.to_yaml(content)}"


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

        from genrun.callbacks.keeper import Keeper

        study = study_of(Path(self.folder), self.direction, self.pruner())
        known = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == self.trial)
        trial, watched = optuna.trial.Trial(study, known._trial_id), self.watched  # no public way from another process

        class Reports(Callback):
            told = 0  # epochs

            def on_train_epoch_start(self, trainer: Any, method: Any) -> None:
                keeper = next(one for one in trainer.callbacks if isinstance(one, Keeper))
                for row in keeper.rows[self.told :]:  # of a resumed run, those of before as well
                    if watched not in row:
                        there = ", ".join(sorted(name for name in row if "/" in name))
                        raise Failed(
                            f"hydra.sweeper.watched={watched}: no such column of metrics.csv; there are {there}"
                        )
                    trial.report(row[watched], row["epoch"])
                self.told = len(keeper.rows)
                if keeper.rows and trial.should_prune():
                    last = keeper.rows[-1]
                    said = f"after epoch {last['epoch']}, {watched} {last[watched]:.4g}"
                    raise Pruned(f"{said}; the run's own command goes on from there")

        return Reports()
