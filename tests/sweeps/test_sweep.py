"""What a sweep lists and refuses before it starts."""

from __future__ import annotations

import re

import pytest
from conftest import TINY, genrun
from helpers.sweeps import sweep

from genrun.sweeps.grid import expand


def test_the_listing_of_a_sweep_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert genrun("-m", *TINY, "seed=0,1", "data=digits,digit", "--dry-run", monkeypatch=monkeypatch) == 1
    printed = capsys.readouterr().out
    assert printed.count(" new") == 2 and printed.count("cannot run: data=digit: no such choice") == 1
    assert printed.count("cannot run, as data=digit seed=0") == 1
    assert not list(tmp_path.iterdir())


def test_the_listing_builds_each_job_and_chooses_by_glob(here, monkeypatch, capsys):
    words = ["model=glob([v*,rbm],exclude=*paper)", "model.optimizer.lr=0.1,fast", "callbacks=none", "data=digits"]
    assert genrun("-m", *words, "evaluation=none", "--dry-run", monkeypatch=monkeypatch) == 1
    printed = capsys.readouterr().out
    for model in ("rbm", "vae"):
        assert re.search(rf"model={model} model.optimizer.lr=0.1\s+outputs/{model}-digits/\w+\s+new", printed)
        assert re.search(rf"model={model} model.optimizer.lr=fast\s+cannot run", printed)
    assert printed.count("cannot run: model.optimizer.lr: expected") == 1  # the other job refers to this one
    assert printed.count("model=") == 5 and not list(here.glob("outputs"))


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("model=glob(x*)", r"model=glob\(x\*\): no choice of model matches; there are autoencoder, .*vae_paper"),
        ("seed=glob(*)", r"seed=glob\(\*\): no choice of seed matches; it is no group"),
    ],
)
def test_a_glob_without_a_match_is_refused(word, why, here, monkeypatch, capsys):
    assert genrun("-m", word, monkeypatch=monkeypatch) == 2
    assert re.search(why, capsys.readouterr().err)


def test_a_glob_chooses_from_the_users_own_groups(here):
    (here / "own" / "model").mkdir(parents=True)
    (here / "own" / "model" / "vapour.yaml").write_text("{}\n")
    assert expand(["model=glob(va*)"], str(here / "own")) == [["model=vae"], ["model=vae_paper"], ["model=vapour"]]


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
    ],
)
def test_an_engine_that_cannot_be_is_refused_in_one_line(tmp_path, overrides, why, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert genrun("-m", *TINY, "seed=0,1", *overrides, monkeypatch=monkeypatch) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1 and re.search(why, error), error


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("hydra.launcher.address=127.0.0.1:1", r"expected the host:port of a Ray cluster \("),
        ("hydra.launcher.gpus=64", r"a job needs 1 CPUs and 64(.0)? GPUs, the cluster has"),
    ],
)
def test_a_ray_cluster_that_cannot_be_is_refused_in_one_line(tmp_path, word, why):
    """In a process of its own, which Ray's threads and servers end with."""
    process = sweep(tmp_path, "seed=0,1", "hydra/launcher=ray", word)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2 and error.count("\n") == 1 and re.search(why, error), error
