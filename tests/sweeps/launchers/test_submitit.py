"""Jobs by submitit: what SLURM is asked for, and the warning before a limit."""

from __future__ import annotations

import os

import pytest
from helpers.sweeps import fake, finished, jobs_of, sweep

from genrun.config.compose import compose
from genrun.runs.folder import RunFolder


@pytest.mark.slow
def test_a_job_is_warned_before_its_time_ends_saves_and_goes_on_when_asked_again(tmp_path):
    limit = ["hydra/launcher=submitit_local", "hydra.launcher.minutes=1", "hydra.launcher.warning=20"]
    process = sweep(tmp_path, "seed=0,1", "trainer.max_epochs=100000", "sweep.name=limited", *limit)
    printed = finished(process)
    assert process.returncode == 1 and printed.count("interrupted: stopped by SIGUSR2") == 4
    for job in jobs_of(tmp_path, "limited"):
        folder = RunFolder(tmp_path / job["run"])
        assert folder.status()["state"] == "interrupted" and folder.last.is_file()


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
