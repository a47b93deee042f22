"""Search with Optuna. Each trial is a job, and the journal in the sweep's folder lets a search go on after it was killed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import OmegaConf

from genrun.config.compose import GROUPS, compose
from genrun.errors import Refused, nearest
from genrun.runs.folder import RunFolder
from genrun.stages.keys import older_table
from genrun.sweeps.grid import parse_overrides
from genrun.sweeps.jobs import Outcome
from genrun.sweeps.searches.study import TrialReporter, first_value, study_of, to_distribution
from genrun.system.files import write_atomic

if TYPE_CHECKING:
    import optuna

OUTCOME_KEYS = ("state", "error", "run")  # fields of an outcome, stored as user attributes of its trial
BEST_TITLE = "The best of"  # starts the title of an experiment that a search wrote
# overrides that start so are not written into an experiment
NOT_IN_EXPERIMENT = ("paths.", "run.", "sweep.", "logger", "+logger")


class Search:
    """Searches for the configuration with the best value of one metric in results.json.

    Args:
        objective: the metric, by the name of its row.
        direction: `minimize` or `maximize`.
        trials: total number of trials, over all starts of the same search.
        sampler: makes the sampler, from a seed.
        seed: of the sampler. A search is repeatable when one job runs at a time.
        watched: column of metrics.csv by which the pruner ends trials after an epoch; None: every trial runs to its end.
        pruner: makes the pruner.
        write_best: name of the experiment, in the user's own configuration folder, to which the best trial is written;
            None: it is not written.

    Raises:
        Refused: `trials` is below 1, or `watched` does not start with train/, val/ or judge/.

    References:
        Akiba et al., Optuna: a next-generation hyperparameter optimization framework, 2019.
    """

    stable_numbers = False  # a trial that is run again gets a new number

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
        self.name_parts = (objective, direction)  # another objective gives the sweep another name
        self.asked: dict[int, optuna.trial.Trial] = {}

    # -- called by the scheduler

    def begin(self, overrides: list[str], folder: Path, config_dir: str | None) -> list[tuple[int, list[str], Outcome]]:
        """Open the study, and queue the trials that an earlier start did not finish.

        Returns:
            Trials of earlier starts that are complete or pruned: the number, overrides and outcome of each.

        Raises:
            Refused: nothing to search, an option of the search or of its jobs is wrong, or the folder holds another search.
        """
        import optuna

        self.config_dir, self.folder = config_dir, folder
        self.best_file = self.best_experiment_file()
        self.read_space(overrides)
        try:
            self.pruner()
            sampler = self.sampler(seed=self.seed)
        except (TypeError, ValueError) as error:
            raise Refused(f"hydra.sweeper.pruner or sampler: {error}") from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = study_of(folder, self.direction)
        self.check_study()
        before = self.study.get_trials(deepcopy=False)
        if before:  # with the same seed the sampler would draw the same values again
            sampler = self.sampler(seed=self.seed + len(before))
        self.study.sampler = sampler
        self.enqueue_unfinished(before)
        earlier = [
            (
                trial.number,
                self.fixed + as_overrides(trial.params),
                Outcome(*(trial.user_attrs[key] for key in OUTCOME_KEYS)),
            )
            for trial in before
            if trial.state.name in ("COMPLETE", "PRUNED")
        ]
        self.left = self.size - len(earlier)
        return earlier

    def read_space(self, overrides: list[str]) -> None:
        """Divide the overrides into fixed ones and distributions, and check that a first point of the space composes.

        Raises:
            Refused: nothing to search, or an override is wrong.
        """
        parsed = parse_overrides(overrides, self.config_dir)
        self.fixed = [text for text, one in zip(overrides, parsed, strict=True) if not one.is_sweep_override()]
        self.space = {one.get_key_element(): to_distribution(one) for one in parsed if one.is_sweep_override()}
        if not self.space:
            raise Refused(
                "hydra/sweeper=optuna: nothing to search; write some options as choice(…), range(…) or interval(…)"
            )
        first = {key: one.to_external_repr(first_value(one)) for key, one in self.space.items()}
        compose([*self.fixed, *as_overrides(first)], self.config_dir)

    def best_experiment_file(self) -> Path | None:
        """Return the file to which the best trial is written; None when it is not to be written.

        Raises:
            Refused: there is no `--config-dir`, or the file is an experiment that no search wrote.
        """
        if self.write_best is None:
            return None
        if self.config_dir is None:
            raise Refused(f"hydra.sweeper.write_best={self.write_best}: into which folder? Give --config-dir as well")
        file = Path(self.config_dir, "experiment", f"{self.write_best}.yaml")
        if file.is_file() and BEST_TITLE not in file.read_text():
            raise Refused(
                f"hydra.sweeper.write_best={self.write_best}: {file} is an experiment of your own; choose another name"
            )
        return file

    def check_study(self) -> None:
        """Check that the journal belongs to this search; a new journal takes over its settings.

        Raises:
            Refused: it belongs to a search with another objective, direction or space, or with other fixed overrides.
        """
        runs = sorted(text for text in self.fixed if not text.startswith(NOT_IN_EXPERIMENT))
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

    def enqueue_unfinished(self, before: list[Any]) -> None:
        """Queue the trials that failed, were interrupted, or were running when their search was killed.

        They run before new trials are drawn.

        Args:
            before: the trials of earlier starts.
        """
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
        """Return the number and the overrides of the next trial; None when the search has had all its trials."""
        if self.left <= 0:
            return None
        self.left -= 1
        trial = self.study.ask(self.space)
        self.asked[trial.number] = trial
        return trial.number, self.fixed + as_overrides(trial.params)

    def reporter(self, number: int) -> TrialReporter | None:
        """Return what reports the epochs of a trial to the pruner; None when trials are not pruned."""
        if self.watched is None:
            return None
        trial = self.asked[number].number
        return TrialReporter(str(self.folder.resolve()), self.direction, trial, self.watched, self.pruner)

    def tell(self, number: int, outcome: Outcome) -> Outcome:
        """Tell the study the outcome of a trial, and return the outcome to record.

        Raises:
            Refused: results.json of the run has no such metric, or it is no number.
        """
        from optuna.trial import TrialState

        # the trial stays running in the journal, so that the next start queues it again
        if outcome.state in ("interrupted", "skipped"):
            return outcome
        trial, value = self.asked.pop(number), None
        if outcome.state == "done":
            value = value_of(Path(outcome.run), self.objective)
            outcome = Outcome("done", f"{self.objective} {'–' if value is None else f'{value:.6g}'}", outcome.run)
        for key in OUTCOME_KEYS:
            trial.set_user_attr(key, getattr(outcome, key))
        if value is not None and math.isfinite(value):
            self.study.tell(trial, value)
        else:
            self.study.tell(trial, state=TrialState.PRUNED if outcome.state == "pruned" else TrialState.FAIL)
        return outcome

    def summary(self) -> list[str]:
        """Return the lines that name the best trial, and write it as an experiment when that was asked for."""
        from optuna.trial import TrialState

        complete = self.study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if not complete:
            return ["\nno trial has a value yet"]
        best = self.study.best_trial
        chosen = as_overrides(best.params)
        lines = [f"\nbest: {self.objective} {best.value:.4g} with {' '.join(chosen)}\n      {best.user_attrs['run']}"]
        if self.best_file is not None:
            self.best_file.parent.mkdir(parents=True, exist_ok=True)
            title = (
                f"# {BEST_TITLE} {len(complete)} trials: {self.objective} {best.value:.6g}, {best.user_attrs['run']}"
            )
            write_atomic(self.best_file, as_experiment(self.fixed + chosen, title))
            lines.append(
                f"written to {self.best_file}: genrun --config-dir {self.config_dir} experiment={self.write_best}"
            )
        return lines


def as_overrides(params: dict[str, Any]) -> list[str]:
    """Return the values of a trial as overrides."""
    return [f"{key}={value}" for key, value in params.items()]


def value_of(run: Path, objective: str) -> float | None:
    """Return a metric of a finished run; None where it could not be computed.

    Args:
        run: the run folder.
        objective: the metric, by the name of its row in results.json.

    Raises:
        Refused: there is no such row, or it holds no number.
    """
    rows = {row["name"]: row["value"] for row in RunFolder(run).results()["rows"]}
    if objective not in rows:
        names = "; ".join(name for name, value in rows.items() if not isinstance(value, str))
        raise Refused(
            f"hydra.sweeper.objective={objective}: {run}/results.json has no such row{nearest(objective, rows)}; "
            f"{older_table(RunFolder(run)) or f'there are {names}'}"
        )
    if isinstance(rows[objective], str):
        raise Refused(f"hydra.sweeper.objective={objective}: expected a number, got {rows[objective]!r}")
    return rows[objective]


def as_experiment(overrides: list[str], title: str) -> str:
    """Return the YAML of an experiment that makes the same choices as some overrides.

    Other experiments and choices of groups go into its defaults list, the rest become options.

    Args:
        overrides: the overrides.
        title: a comment line above the YAML.
    """
    defaults: list[Any] = []
    choices, options = [], []
    for text, override in zip(overrides, parse_overrides(overrides), strict=True):
        key = override.key_or_group
        if text.startswith(("~", *NOT_IN_EXPERIMENT)):
            continue
        if key == "experiment":
            defaults += override.value() if isinstance(override.value(), list) else [override.value()]
        elif key in GROUPS or "/" in key:
            choices.append({f"override /{key}": override.value()})
        else:
            options.append(text.lstrip("+"))
    content = OmegaConf.create({"defaults": [*defaults, "_self_", *choices]})
    content = OmegaConf.merge(content, OmegaConf.from_dotlist(options))
    return f"# @package _global_\n{title}\n{OmegaConf.to_yaml(content)}"
