"""Sweeps: jobs apart from each other, kills, reasons, and means over seeds."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import time
from pathlib import Path

import pytest
from conftest import TINY, command, outcome
from rich.console import Console

from genrun.config.compose import compose
from genrun.run import run
from genrun.runs.folder import RunFolder
from genrun.sweeps.results import groups, spread

CRASH = """
import os
from pytorch_lightning import Callback

class Crash(Callback):
    def on_train_epoch_end(self, trainer, method):
        os._exit(7)
"""
SEEDS = "seed=0,1,2,3,4,5,6,7"


def sweep(here: Path, *overrides: str, tiny=TINY, **options):
    """A sweep in a process group of its own: its process."""
    return command("-m", *tiny, *overrides, cwd=here, start_new_session=True, **options)


def finished(process) -> str:
    """What it printed, once it ended."""
    printed, error = process.communicate(timeout=300)
    assert not error, error
    return printed


def jobs_of(here: Path, name: str) -> list[dict]:
    return json.loads((here / f"outputs/sweeps/{name}/results.json").read_text())["jobs"]


def undisturbed(there: Path, seeds, *overrides: str) -> dict[int, dict[str, bytes]]:
    """What the jobs come to one by one."""
    made = {}
    for seed in seeds:
        every = [*TINY, *overrides, f"seed={seed}", f"paths.outputs={there}"]
        made[seed] = outcome(run(compose(every), every, Console(quiet=True)))
    return made


def test_a_job_that_fails_crashes_or_cannot_be_composed_neither_stops_nor_hides_the_others(tmp_path):
    (tmp_path / "crash.py").write_text(CRASH)
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
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    printed = " ".join(finished(process).split())
    assert process.returncode == 1
    jobs = jobs_of(tmp_path, "mixed")
    assert [job["state"] for job in jobs] == ["done", "failed", "failed", "cannot run", "cannot run", "done"]
    reasons = {
        1: r"the loss term 'd' became",
        2: r"its process ended with status 7 and without a word",
        3: r"experiment=missing: no such choice; there are ",
        4: r"model.visit_steps: expected an integer, got 'eight'",
    }
    for number, reason in reasons.items():
        assert reason in jobs[number]["error"]
        assert reason in printed
    for number in (0, 5):
        assert (tmp_path / jobs[number]["run"] / "results.json").is_file()
    assert "| 2 | experiment=crash |" in (tmp_path / "outputs/sweeps/mixed/results.md").read_text()


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
    assert 0 < len(before) < 8

    printed = finished(again := sweep(tmp_path, *overrides))
    assert again.returncode == 0, printed
    assert printed.count("was done before") == len(before)
    jobs = jobs_of(tmp_path, "killed")
    assert [job["state"] for job in jobs] == ["done"] * 8 and len({job["run"] for job in jobs}) == 8
    for path, when in before.items():
        assert results[path].stat().st_mtime_ns == when
    alone = undisturbed(tmp_path / "alone", range(8), "trainer.max_epochs=12")
    for seed, job in enumerate(jobs):
        folder = RunFolder(tmp_path / job["run"])
        assert outcome(folder) == alone[seed]
        assert len(folder.metrics()) == 12
    printed = finished(again := sweep(tmp_path, *overrides))
    assert again.returncode == 0 and printed.count("was done before") == 8


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


def until(there, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_listing_of_a_sweep_writes_nothing(tmp_path):
    printed = finished(process := sweep(tmp_path, "seed=0,1", "data=digits,digit", "--dry-run"))
    assert process.returncode == 1
    assert printed.count(" new") == 2 and printed.count("cannot run: data=digit: no such choice") == 2
    assert not list(tmp_path.iterdir())


def test_seeds_are_grouped_by_what_else_was_asked(tmp_path):
    runs = []
    for overrides in (["seed=0"], ["seed=1"], ["seed=1", "model.pixels=9"]):
        every = [*TINY, *overrides, f"paths.outputs={tmp_path}"]
        runs.append(run(compose(every), every, Console(quiet=True)))
    one, three = groups([folder.path for folder in runs] + [runs[0].path])  # one of them twice
    assert one["settings"] == {"pixels": 8} and one["seeds"] == [0, 1] and three["seeds"] == [1]
    values = [
        next(
            row["value"]
            for row in json.loads((folder.path / "results.json").read_text())["rows"]
            if row["name"] == "training, s"
        )
        for folder in runs
    ]
    found = one["metrics"]["training, s"]
    assert found["mean"] == pytest.approx(statistics.mean(values[:2])) and found["runs"] == 2
    assert found["deviation"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert three["metrics"]["training, s"]["deviation"] is None
    assert spread({"mean": 2.0, "deviation": 0.125, "runs": 2}) == "2 ± 0.12"
    assert spread({"mean": 2.0, "deviation": None, "runs": 1}) == "2" and spread(None) == "–"


# ---------------------------------------------------------------------------------------------------------- engines


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["hydra.launcher.jobs=0"], r"hydra.launcher.jobs: expected at least 1, got 0"),
        (["hydra/launcher=locl"], r"hydra/launcher=locl: no such choice \(did you mean 'local'\?\)"),
        (["hydra.launcher.job=2"], r"hydra.launcher.job: no such option \(did you mean 'hydra.launcher.jobs'\?\)"),
        (["hydra/launcher=submitit_slurm"], r"hydra/launcher=submitit_slurm: .*slurm"),
        (
            ["hydra/launcher=submitit_local", "hydra.launcher.minutes=1"],
            r"expected more than the 90 s of hydra.launcher.warning",
        ),
        (["hydra/launcher=ray", "hydra.launcher.address=127.0.0.1:1"], r"expected the host:port of a Ray cluster \("),
        (["hydra/launcher=ray", "hydra.launcher.gpus=64"], r"a job needs 1 CPUs and 64(.0)? GPUs, the cluster has"),
    ],
)
def test_an_engine_that_cannot_be_is_refused_in_one_line(tmp_path, overrides, why):
    process = sweep(tmp_path, "seed=0,1", *overrides)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2 and error.count("\n") == 1, error
    assert re.search(why, error), error


@pytest.mark.slow
def test_a_job_is_warned_before_its_time_ends_saves_and_goes_on_when_asked_again(tmp_path):
    limit = ["hydra/launcher=submitit_local", "hydra.launcher.minutes=1", "hydra.launcher.warning=20"]
    process = sweep(tmp_path, "seed=0,1", "trainer.max_epochs=100000", "sweep.name=limited", *limit)
    printed = finished(process)
    assert process.returncode == 1 and printed.count("interrupted: stopped by SIGUSR2") == 4
    for job in jobs_of(tmp_path, "limited"):
        folder = RunFolder(tmp_path / job["run"])
        assert folder.status()["state"] == "interrupted" and folder.last.is_file()


@pytest.mark.slow
def test_a_job_on_two_processes_is_the_run_that_it_is_alone(tmp_path):
    vae = (
        "model=vae",
        "data=digits",
        "data.limit=200",
        "hardware.precision=32-true",
        "trainer.max_epochs=2",
        "sample.n=30",
        "evaluation=none",
    )
    process = sweep(tmp_path, "seed=0,1", "hardware=cpu", "hardware.devices=2", "sweep.name=shared", tiny=vae)
    printed = finished(process)
    assert process.returncode == 0, printed
    jobs = jobs_of(tmp_path, "shared")
    assert len({job["run"] for job in jobs}) == 2 and [job["state"] for job in jobs] == ["done", "done"]
    assert not (tmp_path / "multirun").exists()
    for seed, job in enumerate(jobs):
        folder = RunFolder(tmp_path / job["run"])
        every = [*vae, f"seed={seed}", f"paths.outputs={tmp_path}/alone"]
        alone = run(compose(every), every, Console(quiet=True))
        assert alone.path.name == folder.path.name
        for mine, one in zip(folder.metrics(), alone.metrics(), strict=True):
            assert mine == pytest.approx(one, rel=1e-3)


def fake(folder: Path, name: str, text: str) -> None:
    """A command of that name that notes how it was called."""
    folder.mkdir(exist_ok=True)
    script = folder / name
    script.write_text(f'#!/bin/sh\necho "$@" >> {folder}/{name}.calls\n{text}\n')
    script.chmod(0o755)


def test_slurm_is_asked_for_what_the_group_says(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    from genrun.sweeps.jobs import Job
    from genrun.sweeps.launchers.submitit import Submitit

    commands = tmp_path / "bin"
    fake(commands, "sbatch", 'cp "$1" kept.sh; echo "Submitted batch job 4711"')
    fake(commands, "srun", "")
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    engine = Submitit("slurm", None, cpus=3, gpus=2, minutes=61, warning=50, slurm={"partition": "night"})
    (tmp_path / "sweep/jobs").mkdir(parents=True)
    engine.begin(tmp_path / "sweep", None, compose([]))
    engine.start(Job(0, ("seed=1",), None, str(tmp_path), "sweep", "token"))
    text = (tmp_path / "kept.sh").read_text()
    for line in ("--cpus-per-task=3", "--gpus-per-node=2", "--time=61", "--signal=USR2@50", "--partition=night"):
        assert f"#SBATCH {line}\n" in text
    assert engine.running[0][1].job_id == "4711"


def test_a_job_that_slurm_warned_asks_to_be_queued_again(tmp_path, monkeypatch):
    from genrun.errors import Interrupted
    from genrun.sweeps import jobs

    commands = tmp_path / "bin"
    fake(commands, "scontrol", "")
    slept = []
    monkeypatch.setattr(jobs.time, "sleep", slept.append)
    monkeypatch.setenv("PATH", str(commands), prepend=os.pathsep)
    jobs.requeue(Interrupted(signal.SIGUSR2))  # not SLURM's
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    jobs.requeue(Interrupted(signal.SIGTERM))  # cancelled
    assert not (commands / "scontrol.calls").exists()
    jobs.requeue(Interrupted(signal.SIGUSR2))
    assert (commands / "scontrol.calls").read_text() == "requeue 4711\n" and slept
    fake(commands, "scontrol", "echo no such job >&2; exit 1")
    assert jobs.requeue(Interrupted(signal.SIGUSR2)) == " (it cannot be queued again: no such job)"


@pytest.mark.parametrize(
    ("gpus", "overrides", "jobs", "expected", "free"),
    [
        ("0,1,2", [], 8, 3, ["0", "1", "2"]),
        ("0,1,2", [], 2, 2, ["0", "1", "2"]),
        ("3,GPU-abc", ["hardware.devices=2"], 8, 1, ["3,GPU-abc"]),
        ("0,1", ["hardware=cpu"], 8, 4, []),
        ("", [], 8, 4, []),
        ("", ["hardware.threads=2"], 8, 2, []),
        ("", ["hardware.devices=2"], 8, 2, []),
        ("", [], 3, 3, []),
    ],
)
def test_as_many_jobs_at_once_as_cores_and_gpus_allow(monkeypatch, tmp_path, gpus, overrides, jobs, expected, free):
    from genrun.sweeps.launchers import local

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    monkeypatch.setattr(local, "cores", lambda: 4)
    monkeypatch.setattr(local, "memory_for", lambda: 100)
    engine = local.Local()
    engine.begin(tmp_path, jobs, compose(overrides))
    assert engine.at_once == expected and engine.free == free
    monkeypatch.setattr(local, "memory_for", lambda: 1)
    engine.begin(tmp_path, jobs, compose(overrides))
    assert engine.at_once == (expected if free else 1)


def test_more_jobs_than_gpus_share_them(monkeypatch, tmp_path):
    from genrun.sweeps.launchers import local

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    engine = local.Local(jobs=4)
    engine.begin(tmp_path, 8, compose([]))
    assert engine.at_once == 4 and engine.free == ["0", "1", "0", "1"]


def test_a_run_that_a_sweep_names_twice_is_done_once_for_both(tmp_path):
    finished(process := sweep(tmp_path, "seed=0", "sweep.name=first"))  # its data is known from now on
    process = sweep(tmp_path, "seed=1", "run.checkpoint_minutes=5,6", "sweep.name=twice", "hydra.launcher.jobs=2")
    printed = finished(process)
    assert process.returncode == 0, printed
    one, other = jobs_of(tmp_path, "twice")
    assert one["run"] == other["run"] and one["state"] == other["state"] == "done"
    assert printed.count("started, its output") == 1


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


def test_an_ending_of_an_earlier_start_is_not_taken_for_this_ones(tmp_path):
    from genrun.sweeps.jobs import Job, outcome_of

    (tmp_path / "sweep/jobs").mkdir(parents=True)
    job = Job(0, (), None, str(tmp_path), "sweep", "new")
    ending = {"token": "old", "status": 0, "kind": None, "error": "", "run": "x"}
    job.ending.write_text(json.dumps(ending))
    assert outcome_of(job, "killed", "", stopped=False).words == "failed: killed"
    assert outcome_of(job, "killed", "", stopped=True).words == "interrupted: killed"
    job.ending.write_text(json.dumps(ending | {"token": "new"}))
    assert outcome_of(job, "killed", "", stopped=False).state == "done"


@pytest.mark.slow
def test_ray_lets_its_jobs_save_when_it_is_interrupted(tmp_path):
    process = sweep(tmp_path, "seed=0,1", "trainer.max_epochs=100000", "sweep.name=long", "hydra/launcher=ray")
    logs = [tmp_path / f"outputs/sweeps/long/jobs/{n}.log" for n in (0, 1)]
    until(lambda: all(log.is_file() and "epoch 2/" in log.read_text() for log in logs))
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 143, printed
    for job in jobs_of(tmp_path, "long"):
        assert job["state"] == "interrupted"
        assert RunFolder(tmp_path / job["run"]).status()["state"] == "interrupted"
