"""`genrun sample`: what was asked for, from a trained model as it is or sampled otherwise than its run was."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import genrun
from helpers.runs import unpack
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file, save_file

from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.maths.samplers import DDIM, DPMSolver
from genrun.run import run
from genrun.runs.open import open_run
from genrun.verbs import sample


def test_sample_draws_what_was_asked_for_and_leaves_the_run_alone(finished, here, monkeypatch, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    asked = ["sample", str(finished), "--labels", "2,0,2,6", "--seed", "3"]
    assert genrun(*asked, "--out", "a.npz", monkeypatch=monkeypatch) == 0
    assert genrun(*asked, "--out", "b.npz", "--resolution", "40", monkeypatch=monkeypatch) == 0
    assert genrun(*asked, "--out", "c.png", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.split() == ["a.npz", "b.npz", "c.png"]
    small, large = np.load("a.npz"), np.load("b.npz")
    assert small["images"].shape == (4, 8, 8, 1) and large["images"].shape == (4, 40, 40, 1)
    assert small["labels"].tolist() == [2, 0, 2, 6]
    # the same images: the pixel centres of 8 are those of 40 at 2, 7, 12, …
    assert np.array_equal(small["images"], large["images"][:, 2::5, 2::5])
    assert Image.open("c.png").width > 4 * 8
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}


def test_labels_are_names_or_numbers():
    run = SimpleNamespace(facts=SimpleNamespace(class_names=("1", "cat", "a,b")), folder=SimpleNamespace(path="it"))
    assert sample.labels_of(run, "cat,1,0,2") == [1, 0, 0, 2] and sample.labels_of(run, "a,b") == [2]
    with pytest.raises(
        Refused, match=r"--labels: there is no class 'cta' \(did you mean 'cat'\?\); the classes are 0 1, 1 cat"
    ):
        sample.labels_of(run, "cta")
    run.facts.class_names = ()
    with pytest.raises(Refused, match="its data has no classes"):
        sample.labels_of(run, "0")


def test_a_second_command_numbers_its_file_and_a_named_one_is_kept(finished, here, monkeypatch, capsys):
    for _ in range(3):
        assert genrun("sample", str(finished), "--n", "1", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.split() == ["samples.png", "samples_2.png", "samples_3.png"]
    assert genrun("sample", str(finished), "--n", "1", "--out", "samples.png", monkeypatch=monkeypatch) == 2
    assert "--out samples.png exists already" in capsys.readouterr().err
    assert genrun("sample", "./nowhere", monkeypatch=monkeypatch) == 2
    assert "nowhere: expected a run folder" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------- sampled otherwise


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    options = ["model=ddpm", "model.network.widths=[8,16]", "data.limit=40", "trainer.max_epochs=1", "sample.n=4"]
    options += ["evaluation=none", "callbacks.watching={}", f"paths.outputs={tmp_path_factory.mktemp('outputs')}"]
    options += ["hardware.precision=32-true"]
    return run(compose(options), options, Console(quiet=True)).path


def test_a_group_and_an_option_are_said_anew_in_memory_only(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    opened = open_run(folder)
    assert isinstance(opened.method().sampler, DPMSolver)
    opened.override(["model/sampler=ddim", "model.sampler.steps=7"])
    sampler = opened.method().sampler
    assert isinstance(sampler, DDIM) and sampler.steps == 7
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_verb_takes_them(folder, tmp_path, capsys):
    images = []
    for name, more in (("a", []), ("b", ["model/sampler=ddim", "model.sampler.steps=3", "model.sampler.eta=1"])):
        out = tmp_path / f"{name}.npz"
        assert sample.main([str(folder), "--n", "2", *more, "--out", str(out)]) == 0
        images.append(np.load(out)["images"])
    assert images[0].shape == images[1].shape and not np.array_equal(*images)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("model/samler=ddim", r"model/samler: no such group \(did you mean 'sampler'\?\); there are beta_schedule, "),
        ("model/sampler=ddm", r"model/sampler=ddm: expected ancestral, ddim, .* \(did you mean 'ddim'\?\)"),
        ("model/sampler=euler", r"model.sampler: expected a DiffusionSampler, got Euler"),
        (
            "model.sampler=ddim",
            r"model.sampler: expected DiffusionSampler, got 'ddim'; a part is chosen by model/s",
        ),
        ("model.sampler.stps=5", r"model.sampler.stps: DPMSolver takes no such option \(did you mean 'steps'\?\)"),
        ("model.smpler.steps=5", r"model.smpler.steps: no such option \(did you mean 'model.sampler.steps'\?\)"),
        ("model.sampler.steps=0", r"model.sampler.steps: expected at least 1, got 0"),
        ("model.network.widths=[8]", r"weights of another model"),
        ("data.limit=5", r"data.limit=5: expected an option of the run's model"),
        ("model.guidance", r"model.guidance: expected an option of the run's model"),
    ],
)
def test_what_cannot_be_said_is_refused_in_one_line(folder, text, line):
    opened = open_run(folder)
    with pytest.raises(Refused) as refused:
        opened.override([text])
        opened.method()
    assert re.search(line, str(refused.value)) and "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["model.label_dropout=0.5", "model/beta_schedule=linear", "model.optimizer.lr=1"])
def test_an_option_of_the_training_alone_is_refused(folder, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        Refused, match=rf"{text}: expected an option that may be changed .* \(model\.sampler, model\.guidance\)"
    ):
        sample.main([str(folder), text])
    assert not list(tmp_path.iterdir())


def test_weights_that_give_no_finite_images_are_refused(tmp_path, monkeypatch):
    run = unpack(tmp_path)
    state = {name: value * 0 + 3e38 if "decoder" in name else value for name, value in load_file(run.weights).items()}
    save_file(state, run.weights)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match="NaN or infinite: the weights are damaged"):
        sample.main([str(run.path), "--n=2"])
    assert not (tmp_path / "samples.png").exists()
