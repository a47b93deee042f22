"""A search by Optuna: its trials are jobs, its journal lies in the sweep's folder, so that it goes on after a kill."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import OmegaConf

from genrun.config.compose import GROUPS, compose
from genrun.errors import Refused, nearest
from genrun.sweeps.grid import parsed
from genrun.sweeps.jobs import Outcome
from genrun.sweeps.searches.study import Watch, distribution, lowest, study_of
from genrun.system.files import write_atomic

if TYPE_CHECKING:
    import optuna

KEPT = ("state", "error", "run")  # of an outcome, with its trial
BEST = "The best of"  # how the file of a best trial begins
NOT_OF_AN_EXPERIMENT = ("paths.", "run.", "sweep.", "logger", "+logger")


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

    stable = False  # a trial that is asked for again is another trial

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
        if watched is not None and not watched.startswith(("train/", "val/", "judge/")):
            raise Refused(
                f"hydra.sweeper.watched: expected a column of metrics.csv, train/…, val/… or judge/…, got {watched}"
            )
        if trials < 1:
            raise Refused(f"hydra.sweeper.trials: expected at least 1, got {trials}")
        self.objective, self.direction, self.size = objective, direction, trials
        self.sampler, self.seed, self.watched, self.pruner, self.write_best = sampler, seed, watched, pruner, write_best
        self.named = (objective, direction)  # another objective is another study
        self.asked: dict[int, optuna.trial.Trial] = {}

    # -- the sweep asks and tells

    def begin(self, overrides: list[str], folder: Path, config_dir: str | None) -> list[tuple[int, list[str], Outcome]]:
        import optuna

        self.config_dir, self.folder = config_dir, folder
        self.best_file = self.file_for_the_best()
        read = parsed(overrides)
        self.fixed = [text for text, word in zip(overrides, read, strict=True) if not word.is_sweep_override()]
        self.space = {word.get_key_element(): distribution(word) for word in read if word.is_sweep_override()}
        if not self.space:
            raise Refused(
                "hydra/sweeper=optuna: nothing to search; write some options as choice(…), range(…) or interval(…)"
            )
        compose(
            [*self.fixed, *as_overrides({key: one.to_external_repr(lowest(one)) for key, one in self.space.items()})],
            config_dir,
        )
        try:
            self.pruner()
            sampler = self.sampler(seed=self.seed)
        except (TypeError, ValueError) as error:
            raise Refused(f"hydra.sweeper.pruner or sampler: {error}") from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = study_of(folder, self.direction)
        self.check_study()
        before = self.study.get_trials(deepcopy=False)
        if before:
            sampler = self.sampler(seed=self.seed + len(before))  # one that began anew would repeat itself
        self.study.sampler = sampler
        self.ask_again(before)
        earlier = [
            (trial.number, self.fixed + as_overrides(trial.params), Outcome(*(trial.user_attrs[key] for key in KEPT)))
            for trial in before
            if trial.state.name in ("COMPLETE", "PRUNED")
        ]
        self.left = self.size - len(earlier)
        return earlier

    def file_for_the_best(self) -> Path | None:
        """Where the best trial is written.

        Raises:
            Refused: into no folder, or over an experiment that no search wrote.
        """
        if self.write_best is None:
            return None
        if self.config_dir is None:
            raise Refused(f"hydra.sweeper.write_best={self.write_best}: into which folder? Give --config-dir as well")
        file = Path(self.config_dir, "experiment", f"{self.write_best}.yaml")
        if file.is_file() and BEST not in file.read_text():
            raise Refused(
                f"hydra.sweeper.write_best={self.write_best}: {file} is an experiment of your own; choose another name"
            )
        return file

    def check_study(self) -> None:
        """Know that the journal is of this search.

        Raises:
            Refused: it is of another objective, direction, space, or of other runs.
        """
        runs = sorted(text for text in self.fixed if not text.startswith(NOT_OF_AN_EXPERIMENT))
        space = {key: str(one) for key, one in self.space.items()}
        mine = {"objective": self.objective, "direction": self.direction, "fixed": runs, "space": space}
        theirs = self.study.user_attrs or mine
        if wrong := [name for name, value in mine.items() if theirs.get(name) != value]:
            raise Refused(
                f"{self.folder} holds a search that differs in its {' and '.join(wrong)} "
                f"({', '.join(f'{name}: {theirs.get(name)}' for name in wrong)}); choose another sweep.name"
            )
        for name, value in mine.items():
            self.study.set_user_attr(name, value)

    def ask_again(self, before: list[Any]) -> None:
        """Put what was interrupted, or failed, or was at work when its search was killed, in front of what is drawn anew."""
        from optuna.trial import TrialState

        settled = [trial.params for trial in before if trial.state.name in ("COMPLETE", "PRUNED", "WAITING")]
        for trial in before:
            if trial.state == TrialState.RUNNING:
                self.study.tell(trial.number, state=TrialState.FAIL)
            if (
                trial.state.name in ("RUNNING", "FAIL")
                and trial.params not in settled
                and len(trial.params) == len(self.space)
            ):
                settled.append(trial.params)
                self.study.enqueue_trial(trial.params)

    def ask(self) -> tuple[int, list[str]] | None:
        if self.left <= 0:
            return None
        self.left -= 1
        trial = self.study.ask(self.space)
        self.asked[trial.number] = trial
        return trial.number, self.fixed + as_overrides(trial.params)

    def watch(self, number: int) -> Watch | None:
        if self.watched is None:
            return None
        return Watch(str(self.folder.resolve()), self.direction, self.asked[number].number, self.watched, self.pruner)

    def tell(self, number: int, outcome: Outcome) -> Outcome:
        from optuna.trial import TrialState

        if outcome.state in (
            "interrupted",
            "skipped",
        ):  # still running as far as the journal knows: asked again next time
            return outcome
        trial, value = self.asked.pop(number), None
        if outcome.state == "done":
            value = value_of(Path(outcome.run), self.objective)
            outcome = Outcome("done", f"{self.objective} {'–' if value is None else f'{value:.6g}'}", outcome.run)
        for key in KEPT:
            trial.set_user_attr(key, getattr(outcome, key))
        if value is not None and math.isfinite(value):
            self.study.tell(trial, value)
        else:
            self.study.tell(trial, state=TrialState.PRUNED if outcome.state == "pruned" else TrialState.FAIL)
        return outcome

    def summary(self) -> list[str]:
        """The best trial, in words; it is written where that was asked for."""
        from optuna.trial import TrialState

        complete = self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if not complete:
            return ["\nno trial came to a value yet"]
        best = self.study.best_trial
        chosen = as_overrides(best.params)
        said = [f"\nbest: {self.objective} {best.value:.4g} with {' '.join(chosen)}\n      {best.user_attrs['run']}"]
        if self.best_file is not None:
            self.best_file.parent.mkdir(parents=True, exist_ok=True)
            title = f"# {BEST} {len(complete)} trials: {self.objective} {best.value:.6g}, {best.user_attrs['run']}"
            write_atomic(self.best_file, as_experiment(self.fixed + chosen, title))
            said.append(
                f"written to {self.best_file}: genrun --config-dir {self.config_dir} experiment={self.write_best}"
            )
        return said


def as_overrides(params: dict[str, Any]) -> list[str]:
    """The chosen values as overrides."""
    return [f"{key}={value}" for key, value in params.items()]


def value_of(run: Path, objective: str) -> float | None:
    """A figure of a finished run; None where it could not be had.

    Raises:
        Refused: there is no such row, or it holds no number.
    """
    rows = {row["name"]: row["value"] for row in json.loads((run / "results.json").read_text())["rows"]}
    if objective not in rows:
        there = "; ".join(name for name, value in rows.items() if not isinstance(value, str))
        raise Refused(
            f"hydra.sweeper.objective={objective}: {run}/results.json has no such row{nearest(objective, rows)}; there are {there}"
        )
    if isinstance(rows[objective], str):
        raise Refused(f"hydra.sweeper.objective={objective}: expected a number, got {rows[objective]!r}")
    return rows[objective]


def as_experiment(overrides: list[str], title: str) -> str:
    """Overrides as the YAML of an experiment: others of its kind and choices of groups in its defaults list, the rest as options."""
    defaults: list[Any] = []
    choices, options = [], []
    for text, word in zip(overrides, parsed(overrides), strict=True):
        key = word.key_or_group
        if text.startswith(("~", *NOT_OF_AN_EXPERIMENT)):
            continue
        if key == "experiment":
            defaults += word.value() if isinstance(word.value(), list) else [word.value()]
        elif key in GROUPS or "/" in key:
            choices.append({f"override /{key}": word.value()})
        else:
            options.append(text.lstrip("+"))
    content = OmegaConf.create({"defaults": [*defaults, "_self_", *choices]})
    content = OmegaConf.merge(content, OmegaConf.from_dotlist(options))
    return f"# @package _global_\n{title}\n{OmegaConf.to_yaml(content)}"
