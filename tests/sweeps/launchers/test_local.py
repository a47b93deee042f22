"""As many jobs at once as the machine bears."""

from __future__ import annotations

import pytest

from genrun.config.compose import compose


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
    monkeypatch.setattr(local, "jobs_that_fit_memory", lambda: 100)
    engine = local.Local()
    engine.begin(tmp_path, jobs, compose(overrides))
    assert engine.at_once == expected and engine.free == free
    monkeypatch.setattr(local, "jobs_that_fit_memory", lambda: 1)
    engine.begin(tmp_path, jobs, compose(overrides))
    assert engine.at_once == (expected if free else 1)


def test_more_jobs_than_gpus_share_them(monkeypatch, tmp_path):
    from genrun.sweeps.launchers import local

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    engine = local.Local(jobs=4)
    engine.begin(tmp_path, 8, compose([]))
    assert engine.at_once == 4 and engine.free == ["0", "1", "0", "1"]
