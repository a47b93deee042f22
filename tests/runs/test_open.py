"""A finished run in a notebook."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import genrun
from helpers.runs import change_config, change_json, unpack


def test_a_run_opens_in_a_notebook_and_builds_no_foreign_class(finished, here):
    from omegaconf import OmegaConf

    import genrun as package
    from genrun.errors import Refused

    opened = package.open_run(finished)
    assert [row["epoch"] for row in opened.metrics()] == [1, 2] and opened.facts.image_shape == (1, 8, 8)
    assert opened.samples()[0].shape == (30, 8, 8, 1) and opened.samples()[1].tolist() == list(range(10)) * 3
    assert opened.results()["parameters"] == sum(weight.numel() for weight in opened.method().parameters())
    for target in (
        "torch.nn.modules.torch.hub.load",
        "genrun.methods.csgm.torch.hub.load",
        "builtins.eval",
        "subprocess.Popen",
    ):
        shutil.copytree(finished, "evil", dirs_exist_ok=True)
        config = OmegaConf.load("evil/config.yaml")
        config.model.optimizer = {"_target_": target, "_partial_": True}
        OmegaConf.save(config, "evil/config.yaml")
        with pytest.raises(Refused, match=r"expected a class of genrun.methods.*--trust"):
            package.open_run("evil").method()
    for value in ("${oc.create:{_target_: os.mkdir, path: made}}", "\\${oc.create:{_target_: os.mkdir, path: made}}"):
        config.model.optimizer = value
        OmegaConf.save(config, "evil/config.yaml")
        with pytest.raises(Refused, match=r"without interpolation|--trust"):
            package.open_run("evil").method()
    assert not Path("made").exists()


# ---------------------------------------------------------------------------------------------------- strangers' folders


@pytest.mark.parametrize(
    "key", ["model.name", "model.code_size", "data.name", "seed", "paths.outputs", "trainer.max_epochs"]
)
def test_an_interpolation_is_refused_when_a_run_is_opened(key, tmp_path, monkeypatch):
    from genrun.errors import Refused
    from genrun.runs.open import open_run

    monkeypatch.setenv("SECRET", "topsecret")
    run = unpack(tmp_path)
    change_config(run, key, "${oc.env:SECRET}")
    with pytest.raises(Refused, match="without interpolation") as error:
        open_run(run.path)
    assert "topsecret" not in str(error.value)


def test_an_unknown_fact_is_refused(tmp_path):
    from genrun.errors import Refused
    from genrun.runs.open import open_run

    run = unpack(tmp_path)
    change_config(run, "data.facts.more", 3)
    with pytest.raises(Refused, match=r"data\.facts has an unknown more"):
        open_run(run.path)


# What a hostile folder is made of, and the commands that it is given to: none may write elsewhere or say a word of Python's
HOSTILE = {
    "name": lambda run: change_config(run, "model.name", "../../../elsewhere/vae"),
    "secret": lambda run: change_config(run, "data.name", "${oc.env:SECRET}"),
    "escape": lambda run: change_config(run, "model._target_", "os.sys\x1b[31mtem"),
    "call": lambda run: change_config(run, "trainer._target_", "os.system"),
    "device": lambda run: change_config(run, "hardware.accelerator", "tpu"),
    "no watchers": lambda run: change_config(run, "callbacks.watching", None),
    "status": lambda run: (run.path / "status.json").write_text("[]"),
    "no stages": lambda run: change_json(run, "status.json", lambda status: status.update(stages={})),
    "results": lambda run: (run.path / "results.json").write_bytes(b"\xff"),
    "metrics": lambda run: (run.path / "metrics.csv").write_bytes(b"\xff"),
    "weights": lambda run: run.weights.write_bytes(b"\xff"),
    "samples": lambda run: (run.path / "samples.npz").write_bytes(b"\xff"),
    "linked log": lambda run: (run.path / "log.txt").symlink_to(run.path.parents[2] / "mine"),
}


REFUSED_EARLY = (
    "name",
    "secret",
    "call",
    "no watchers",
    "status",
    "no stages",
    "weights",
)  # else a refit takes some seconds


@pytest.mark.parametrize(
    ("kind", "verb"),
    [
        *((kind, verb) for kind in HOSTILE for verb in ("sample", "evaluate")),
        *((kind, "refit") for kind in REFUSED_EARLY),
    ],
)
def test_a_hostile_folder_ends_in_one_line_or_harmlessly(kind, verb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "topsecret")
    run = unpack(tmp_path / "outputs")
    HOSTILE[kind](run)
    before = {path for path in tmp_path.rglob("*") if run.path.parent not in path.parents}
    words = {"sample": ["--n=2"], "evaluate": ["evaluation=none"], "refit": ["model/prior=gaussian"]}[verb]
    status = genrun(verb, str(run.path), *words, monkeypatch=monkeypatch)
    out, err = capsys.readouterr()
    assert status in (0, 2), err
    assert err.count("\n") == (status != 0) and "Error" not in err, err
    assert not {"\x1b", "\x07"} & set(out + err) and "topsecret" not in out + err
    made = {path for path in tmp_path.rglob("*") if run.path.parent not in path.parents} - before
    assert made <= {tmp_path / "samples.png"}
