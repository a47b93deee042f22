"""Jobs apart from each other: failures, kills, interrupts, and runs that are named twice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from conftest import TINY, outcome
from helpers.sweeps import finished, jobs_of, sweep, until
from rich.console import Console

from genrun.config.compose import compose
from genrun.run import run
from genrun.runs.folder import RunFolder
from genrun.sweeps.jobs import Outcome

CRASH = """
import os
from pytorch_lightning import Callback

class Crash(Callback):
    def on_train_epoch_end(self, trainer, method):
        os._exit(7)
"""
SEEDS = "seed=0,1,2,3,4"


def undisturbed(there: Path, seeds, *overrides: str) -> dict[int, dict[str, bytes]]:
    """What the jobs come to one by one."""
    made = {}
    for seed in seeds:
        every = [*TINY, *overrides, f"seed={seed}", f"paths.outputs={there}"]
        made[seed] = outcome(run(compose(every), every, Console(quiet=True)))
    return made


def test_a_job_that_fails_crashes_or_cannot_be_composed_neither_stops_nor_hides_the_others(tmp_path):
    (tmp_path / "crash.py").write_text(CRASH)
    for module in ("random", "queue", "types", "numpy", "torch"):  # the user's own files hide no library
        (tmp_path / f"{module}.py").write_text("raise SystemExit(__file__)")
    mine = tmp_path / "mine/experiment"
    mine.mkdir(parents=True)
    experiments = {
        "fine": "seed: 5",
        "diverging": "model: {optimizer: {lr: 1.0e+30}}",
        "crash": "callbacks: {training: {crash: {_target_: crash.Crash}}}",
        "typo": "model: {visit_steps: eight}",
        "last": "seed: 6",
    }
    for name, text in experiments.items():
        (mine / f"{name}.yaml").write_text(f"# @package _global_\n{text}\n")
    process = sweep(
        tmp_path,
        "experiment=fine,diverging,crash,missing,typo,last",
        *("--config-dir", "mine", "sweep.name=mixed"),
    )
    printed = " ".join(finished(process).split())
    assert process.returncode == 1
    jobs = jobs_of(tmp_path, "mixed")
    assert [job["state"] for job in jobs] == ["done", "failed", "failed", "cannot run", "cannot run", "done"]
    reasons = {
        1: r"the loss term 'd' became",
        2: r"its process ended with status 7 and gave no reason",
        3: r"experiment=missing: no such choice; there are ",
        4: r"model.visit_steps: expected an integer, got 'eight'",
    }
    for number, reason in reasons.items():
        assert reason in jobs[number]["error"]
        assert reason in printed
    for number in (0, 5):
        assert (tmp_path / jobs[number]["run"] / "results.json").is_file()
    assert "| 2 | experiment=crash |" in (tmp_path / "outputs/sweeps/mixed/results.md").read_text()


def test_a_list_of_jobs_says_a_refusal_once():
    jobs = [("a", "x"), ("b", "y"), ("c", "x"), ("d", "y"), ("e", "z")]
    refused: dict[str, str] = {}
    said = [Outcome("cannot run", error).after(name, refused) for name, error in jobs]
    assert said == ["cannot run: x", "cannot run: y", "cannot run, as a", "cannot run, as b", "cannot run: z"]
    assert Outcome("failed", "x").after("f", refused) == "failed: x"


def test_a_refusal_of_several_jobs_is_not_repeated(tmp_path):
    process = sweep(tmp_path, "seed=0,1,2", "trainer.max_epochs=-1", "sweep.name=refused")
    printed = finished(process)
    assert process.returncode == 1
    assert printed.count("cannot run: trainer.max_epochs: expected at least 1, got -1") == 2, (
        printed
    )  # as it happens, and in the table
    assert printed.count("cannot run, as seed=0") == 4
    assert [job["error"][:18] for job in jobs_of(tmp_path, "refused")] == ["trainer.max_epochs"] * 3


@pytest.mark.parametrize(
    "engine",
    ["local", pytest.param("submitit_local", marks=pytest.mark.slow), pytest.param("ray", marks=pytest.mark.slow)],
)
def test_what_a_kill_of_the_whole_group_left_is_done_once_by_the_same_sweep(tmp_path, engine):
    overrides = [SEEDS, "trainer.max_epochs=12", "sweep.name=killed", f"hydra/launcher={engine}"]
    process = sweep(tmp_path, *overrides)
    for line in process.stdout:
        if line.rstrip().endswith("done"):
            break
    time.sleep(0.3)  # others are in the middle
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    results = {path: path / "results.json" for path in (tmp_path / "outputs/csgm-digits").iterdir()}
    done = [path for path in results if RunFolder(path).status()["state"] == "done"]
    before = {path: results[path].stat().st_mtime_ns for path in done}
    assert 0 < len(before) < 5

    printed = finished(again := sweep(tmp_path, *overrides))
    assert again.returncode == 0, printed
    assert printed.count("was done before") == len(before)
    jobs = jobs_of(tmp_path, "killed")
    assert [job["state"] for job in jobs] == ["done"] * 5 and len({job["run"] for job in jobs}) == 5
    for path, when in before.items():
        assert results[path].stat().st_mtime_ns == when
    alone = undisturbed(tmp_path / "alone", range(5), "trainer.max_epochs=12")
    for seed, job in enumerate(jobs):
        folder = RunFolder(tmp_path / job["run"])
        assert outcome(folder) == alone[seed]
        assert len(folder.metrics()) == 12
    printed = finished(again := sweep(tmp_path, *overrides))
    assert again.returncode == 0 and printed.count("was done before") == 5


@pytest.mark.parametrize(
    "engine",
    ["local", pytest.param("submitit_local", marks=pytest.mark.slow), pytest.param("ray", marks=pytest.mark.slow)],
)
def test_a_signal_to_the_whole_group_lets_every_job_save(tmp_path, engine):
    """`timeout` sends it so, and it reaches the server that starts the jobs too."""
    process = sweep(tmp_path, "seed=0,1,2", "trainer.max_epochs=100000", "sweep.name=group", f"hydra/launcher={engine}")
    logs = [tmp_path / f"outputs/sweeps/group/jobs/{n}.log" for n in (0, 1)]
    until(lambda: all(log.is_file() and "epoch 2/" in log.read_text() for log in logs))
    os.killpg(process.pid, signal.SIGTERM)
    printed = finished(process)
    assert process.returncode == 143 and printed.count("interrupted: stopped by SIGTERM") == 4
    assert [job["state"] for job in jobs_of(tmp_path, "group")] == ["interrupted"] * 2


def test_an_interrupt_lets_every_job_save_and_a_second_sweep_waits_for_none(tmp_path):
    overrides = ["seed=0,1", "trainer.max_epochs=100000", "sweep.name=long", "hydra.launcher.jobs=2"]
    process = sweep(tmp_path, *overrides)
    logs = [tmp_path / f"outputs/sweeps/long/jobs/{n}.log" for n in (0, 1)]
    until(lambda: all(log.is_file() and "epoch 2/" in log.read_text() for log in logs))
    other = sweep(tmp_path, *overrides)
    _, error = other.communicate(timeout=60)
    assert other.returncode == 2 and "is being run by process" in error and error.count("\n") == 1
    process.send_signal(signal.SIGINT)
    printed = finished(process)
    assert process.returncode == 130 and printed.count("interrupted: stopped by Ctrl-C") == 4
    for job in jobs_of(tmp_path, "long"):
        folder = RunFolder(tmp_path / job["run"])
        assert folder.status()["state"] == "interrupted" and folder.last.is_file()


def test_a_run_that_a_sweep_names_twice_is_done_once_for_both(tmp_path):
    finished(process := sweep(tmp_path, "seed=0", "sweep.name=first"))  # its data is known from now on
    process = sweep(tmp_path, "seed=1", "run.checkpoint_minutes=5,6", "sweep.name=twice", "hydra.launcher.jobs=2")
    printed = finished(process)
    assert process.returncode == 0, printed
    one, other = jobs_of(tmp_path, "twice")
    assert one["run"] == other["run"] and one["state"] == other["state"] == "done"
    assert printed.count("started, its output") == 1


@pytest.mark.slow
def test_a_job_that_cannot_be_started_is_one_row(tmp_path, monkeypatch, capsys):
    from genrun.sweeps.launchers import local
    from genrun.sweeps.sweep import sweep

    start = local.Local.start

    def full(engine, job):
        if job.number == 1:
            raise OSError("the queue is full")
        start(engine, job)

    monkeypatch.setattr(local.Local, "start", full)
    monkeypatch.chdir(tmp_path)
    assert sweep([*TINY, "seed=0,1,2", "sweep.name=full"], None) == 1
    states = [(job["state"], job["error"]) for job in jobs_of(tmp_path, "full")]
    assert states == [("done", ""), ("failed", "not started: the queue is full"), ("done", "")]
