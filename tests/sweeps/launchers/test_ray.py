"""Jobs by Ray."""

from __future__ import annotations

import signal

import pytest
from helpers.sweeps import jobs_of, sweep, until

from genrun.runs.folder import RunFolder


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
