"""Searches by Optuna: they go on after a kill, end what shows no promise, and leave the best as an experiment."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from conftest import TINY, genrun
from helpers.sweeps import finished, jobs_of, sweep
from omegaconf import OmegaConf

from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.parts import read_facts, with_facts
from genrun.runs.folder import RunFolder
from genrun.runs.identity import digest, identity
from genrun.sweeps.searches.optuna import as_experiment, value_of

optuna = pytest.importorskip("optuna")

SPACE = ("model.pixels=range(6,10)", "model.optimizer.lr=tag(log,interval(1e-4,1e-1))")
SEARCH = (*SPACE, "hydra/sweeper=optuna", "sweep.name=search", "evaluation.reconstructions=20")
OBJECTIVE = 'hydra.sweeper.objective="reconstruction, mean squared error"'


def trials(here: Path) -> list:
    from genrun.sweeps.searches.study import study_of

    return study_of(here / "outputs/sweeps/search", "minimize").get_trials()


@pytest.mark.slow
def test_a_killed_search_goes_on_and_leaves_its_best_as_an_experiment(tmp_path):
    (tmp_path / "mine").mkdir()
    command = [*SEARCH, OBJECTIVE, "hydra.sweeper.trials=5", "hydra.sweeper.write_best=best", "--config-dir", "mine"]
    process = sweep(tmp_path, *command)
    started = 0
    for line in process.stdout:
        started += "started, its output" in line
        if started == 3:  # one at least is done, and another at work
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    running = [trial.params for trial in trials(tmp_path) if trial.state == optuna.trial.TrialState.RUNNING]
    assert running

    printed = finished(again := sweep(tmp_path, *command))
    assert again.returncode == 0, printed
    jobs = jobs_of(tmp_path, "search")
    assert [job["state"] for job in jobs] == ["done"] * 5
    complete = [trial for trial in trials(tmp_path) if trial.state == optuna.trial.TrialState.COMPLETE]
    assert len(complete) == 5
    whole = [params for params in running if len(params) == 2]  # one may have been killed while it was drawn
    assert all(params in [trial.params for trial in complete] for params in whole)  # none is lost
    for trial in complete:
        rows = json.loads((tmp_path / trial.user_attrs["run"] / "results.json").read_text())["rows"]
        assert trial.value == next(row["value"] for row in rows if row["name"].startswith("reconstruction, mean sq"))
    best = min(complete, key=lambda trial: trial.value)
    assert f"reconstruction, mean squared error {best.value:.4g} with" in printed
    cfg = compose(["experiment=best"], str(tmp_path / "mine"))
    cfg = with_facts(cfg, read_facts(cfg)[0])
    assert digest(identity(cfg)) == Path(best.user_attrs["run"]).name

    before = len(trials(tmp_path))
    printed = finished(again := sweep(tmp_path, *command))  # nothing is missing
    assert again.returncode == 0 and len(trials(tmp_path)) == before and "started" not in printed
    other = sweep(tmp_path, *command, "hydra.sweeper.direction=maximize")  # under the same name
    _, error = other.communicate(timeout=60)
    assert other.returncode == 2 and "holds a search that differs in its direction" in error, error


def test_a_trial_without_promise_is_ended_after_an_epoch_and_its_command_goes_on(tmp_path):
    several = [
        "model.optimizer.lr=choice(1e-3,1e-7)",
        *("hydra/sweeper=optuna", "hydra/launcher=local", "hydra.launcher.jobs=1", "sweep.name=search"),
        *("evaluation.reconstructions=20", OBJECTIVE, "trainer.max_epochs=6", "hydra.sweeper.trials=4"),
        *(
            "hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner",
            "+hydra.sweeper.pruner.upper=0",
        ),  # ends everything
        "hydra.sweeper.watched=val/score",
    ]
    printed = finished(process := sweep(tmp_path, *several))
    jobs = jobs_of(tmp_path, "search")
    assert process.returncode == 0 and {job["state"] for job in jobs} == {"pruned"}, printed
    assert jobs[0]["error"].startswith("after epoch 1, val/score")
    folder = RunFolder(tmp_path / jobs[0]["run"])
    assert folder.status()["state"] == "interrupted" and folder.last.is_file() and len(folder.metrics()) == 1
    assert {trial.state for trial in trials(tmp_path)} == {optuna.trial.TrialState.PRUNED}


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["hydra.sweeper.trials=0", SPACE[0]], "hydra.sweeper.trials: expected at least 1, got 0"),
        (["seed=1"], "nothing to search; write some options as choice"),
        ([SPACE[0], "hydra.sweeper.write_best=best"], "into which folder? Give --config-dir"),
        ([SPACE[0], "+hydra.sweeper.pruner.n_min_trials=-1"], "hydra.sweeper.pruner or sampler: "),
        ([SPACE[0], "hydra.sweeper.watched=score"], "expected a column of metrics.csv"),
        (["model.pixls=range(1,3)"], "model.pixls: no such option"),
        ([SPACE[1], "--dry-run"], "a grid cannot list all its values"),
        ([SPACE[0], "hydra.sweeper.direction=down"], "hydra.sweeper.direction: expected 'minimize', 'maximize'"),
        ([SPACE[0], "hydra.sweeper.objective=reconstrution", "hydra.sweeper.trials=1"], "has no such row"),
    ],
)
def test_a_search_that_cannot_be_is_refused_in_one_line(tmp_path, overrides, why, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert genrun("-m", *TINY, "hydra/sweeper=optuna", *overrides, monkeypatch=monkeypatch) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and why in error, error


def test_an_experiment_is_made_of_groups_and_options():
    text = as_experiment(
        [
            "model=vae",
            "model/likelihood=gaussian",
            "experiment=mine",
            "+data.new=3",
            "seed=4",
            "paths.outputs=x",
            "~callbacks.training",
            "logger=tensorboard",
            "model.beta=1",
        ],
        "# title",
    )
    assert OmegaConf.to_container(OmegaConf.create(text)) == {
        "defaults": ["mine", "_self_", {"override /model": "vae"}, {"override /model/likelihood": "gaussian"}],
        "data": {"new": 3},
        "seed": 4,
        "model": {"beta": 1},
    }
    assert text.startswith("# @package _global_\n# title\n")


def test_the_value_of_a_run_is_a_number_of_its_table(tmp_path):
    rows = [{"name": "good", "value": 2.5}, {"name": "missing", "value": None}, {"name": "word", "value": "x"}]
    rows = [row | {"note": ""} for row in rows]
    (tmp_path / "results.json").write_text(json.dumps({"title": "a run", "rows": rows}))
    assert value_of(tmp_path, "good") == 2.5 and value_of(tmp_path, "missing") is None
    with pytest.raises(Refused, match=r"no such row \(did you mean 'good'"):
        value_of(tmp_path, "goood")
    with pytest.raises(Refused, match="expected a number, got 'x'"):
        value_of(tmp_path, "word")


def test_an_experiment_has_the_last_word_over_the_root_of_the_configuration(tmp_path):
    (tmp_path / "experiment").mkdir()
    text = as_experiment(["model=vae", "seed=7", "sample.n=50", "run.name=x", "model.beta=2"], "# title")
    (tmp_path / "experiment/mine.yaml").write_text(text)
    cfg = compose(["experiment=mine"], str(tmp_path))
    assert (cfg.model.name, cfg.seed, cfg.sample.n, cfg.run.name, cfg.model.beta) == ("vae", 7, 50, None, 2)
    assert compose(["experiment=mine", "seed=3"], str(tmp_path)).seed == 3
    again = as_experiment(["data=mnist", "experiment=mine", "model.beta=3"], "# title")
    (tmp_path / "experiment/more.yaml").write_text(again)
    cfg = compose(["experiment=more"], str(tmp_path))
    assert (cfg.model.name, cfg.data.name, cfg.seed, cfg.model.beta) == ("vae", "mnist", 7, 3)
