"""One job of a sweep: its ending, SLURM's warning, and a run on several processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from helpers.sweeps import fake, finished, jobs_of, sweep
from rich.console import Console

from genrun.config.compose import compose
from genrun.run import run
from genrun.runs.folder import RunFolder


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


def test_what_a_job_prints_is_logged_whatever_the_encoding(tmp_path):
    code = (
        "import sys; from pathlib import Path; from genrun.sweeps.jobs import redirect_output\n"
        "redirect_output(Path(sys.argv[1])); print('8×8 – Fréchet')"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "log")], check=True, env=environment)
    assert (tmp_path / "log").read_text() == "8?8 ? Fr?chet\n"


def test_an_ending_of_an_earlier_start_is_not_taken_for_this_ones(tmp_path):
    from genrun.sweeps.jobs import Job, outcome_of

    (tmp_path / "sweep/jobs").mkdir(parents=True)
    job = Job(0, (), None, str(tmp_path), "sweep", "new")
    ending = {"token": "old", "status": 0, "kind": None, "error": "", "run": "x"}
    job.result_file.write_text(json.dumps(ending))
    assert outcome_of(job, "killed", "", stopped=False).description == "failed: killed"
    assert outcome_of(job, "killed", "", stopped=True).description == "interrupted: killed"
    job.result_file.write_text(json.dumps(ending | {"token": "new"}))
    assert outcome_of(job, "killed", "", stopped=False).state == "done"
