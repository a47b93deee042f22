"""`genrun refit`: the networks of a finished run with another prior."""

from __future__ import annotations

import json
import shutil

import pytest
from conftest import TINY_AUTOENCODER, outcome
from omegaconf import OmegaConf
from rich.console import Console
from safetensors.torch import load_file

from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.run import run
from genrun.runs.folder import RunFolder
from genrun.runs.open import open_run
from genrun.verbs.refit import main


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


def trained(outputs, *overrides) -> RunFolder:
    every = [*TINY_AUTOENCODER, f"paths.outputs={outputs}", *overrides]
    return run(compose(every), every, Console(quiet=True))


@pytest.fixture(scope="module")
def gaussian(outputs) -> RunFolder:
    return trained(outputs, "model/prior=gaussian_unscaled")


def contents(folder: RunFolder) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.path.rglob("*")) if file.is_file()}


def refitted(parent: RunFolder, *overrides) -> RunFolder:
    """The child that the command leaves."""
    there = set(parent.path.parent.iterdir())
    assert main([str(parent.path), *overrides]) == 0
    (new,) = set(parent.path.parent.iterdir()) - there
    return RunFolder(new)


@pytest.mark.parametrize(
    ("words", "weight", "shape"),
    [
        (("model/prior=mixture", "model.prior.components=3"), "prior.weights", (10, 3)),
        (("model/prior=flow", "model.prior.components=10", "model.prior.width=8"), "prior.velocity.out.weight", (4, 8)),
    ],
    ids=["mixture", "flow"],
)
def test_it_is_the_run_that_training_with_this_prior_comes_to(gaussian, tmp_path, words, weight, shape):
    before = contents(gaussian)
    child = refitted(gaussian, *words)
    assert contents(gaussian) == before
    plain = trained(tmp_path, *words)
    assert child.path.name == plain.path.name  # so its command finds the child
    assert outcome(child) == outcome(plain)
    status = child.status()
    assert status["state"] == "done" and status["epoch"] == 2
    record = json.loads((child.path / "provenance.json").read_text())
    assert record["parent"] == gaussian.path.name
    assert load_file(child.weights)[weight].shape == shape


def test_the_same_command_again_does_nothing(gaussian, capsys):
    child = refitted(gaussian, "model/prior=mixture", "model.prior.components=2")
    before = contents(child)
    assert main([str(gaussian.path), "model/prior=mixture", "model.prior.components=2"]) == 0
    assert contents(child) == before
    assert str(child.path) in capsys.readouterr().out


def test_another_number_of_components_for_each_class(gaussian, tmp_path):
    options = ["model/prior=mixture", "model.prior.components=[1,3]"]
    assert outcome(refitted(gaussian, *options)) == outcome(trained(tmp_path, *options))


def test_a_runs_own_prior_leaves_it_alone(gaussian):
    status = gaussian.status()
    stale = {"evaluate": status["stages"]["evaluate"] | {"key": "stale"}}
    gaussian.record(stages=status["stages"] | stale)
    before = contents(gaussian)
    assert main([str(gaussian.path), "model.prior.components=1"]) == 0
    assert contents(gaussian) == before
    gaussian.record(**status)


def test_grids_and_judgements_of_epochs_stay_with_the_prior_that_they_are_of(tmp_path):
    judged = [
        "evaluation=quick",
        "evaluation.epoch_samples=200",
        "evaluation.classifier.steps=100",
        "evaluation.observer.steps=20",
        "sample.n=200",
    ]
    parent = trained(tmp_path, *judged[:1], "model/prior=gaussian", *judged[1:])
    child = refitted(parent, "model.prior.covariance_scale=0.25")
    assert any(key.startswith("judge/") for key in parent.metrics()[0])
    assert not any(key.startswith("judge/") for row in child.metrics() for key in row)
    assert [row["val/score"] for row in child.metrics()] == [row["val/score"] for row in parent.metrics()]
    assert not list(child.samples.glob("epoch_*")) and not child.best.exists()


def test_a_child_can_be_refitted_too(gaussian):
    child = refitted(gaussian, "model.prior.covariance_scale=0.25")
    grandchild = refitted(child, "model.prior.covariance_scale=0.5")
    assert OmegaConf.load(grandchild.path / "config.yaml").model.prior.covariance_scale == 0.5


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["model.code_size=3"], "expected model/prior=choice or model.prior.option=value"),
        (["sample.n=10"], "expected an option of how codes are drawn, such as model/prior=choice"),
        (["model/prior=gausian"], r"expected .*gaussian, .*, normal, vae \(did you mean 'gaussian'"),
        (["model.prior.componets=3"], "componets.*did you mean.*components"),
        (["model.prior.components=0"], "model.prior.components: expected at least 1, got 0"),
        (["model/prior=mixture", "model.prior.components=36"], "at least 36 codes in class"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(gaussian, overrides, why):
    there = set(gaussian.path.parent.iterdir())
    with pytest.raises(Refused, match=why):
        main([str(gaussian.path), *overrides])
    assert set(gaussian.path.parent.iterdir()) == there


def test_only_finished_runs_with_a_prior_are_taken(gaussian, tiny, tmp_path):
    with pytest.raises(Refused, match=r"expected a run folder"):
        main([str(tmp_path), "model/prior=gaussian"])
    with pytest.raises(Refused, match="has no prior of codes to fit"):
        every = ["model=gan", "data=digits", "data.limit=100", "data.passes=1", "trainer.max_epochs=1", "sample.n=10"]
        every += ["evaluation=none", "callbacks=none", "model.generator.widths=[8]", "model.discriminator.widths=[8]"]
        other = run(compose([*every, f"paths.outputs={tmp_path}"]), every, Console(quiet=True))
        main([str(other.path), "model/prior=gaussian"])
    with pytest.raises(
        Refused, match=r"run.refit_of=.*expected another prior and nothing else, trainer.max_epochs differ"
    ):
        trained(tmp_path / "none", "model/prior=gaussian", "trainer.max_epochs=3", f"run.refit_of={gaussian.path}")
    assert not (tmp_path / "none").exists()


def test_a_foreign_target_is_not_built(gaussian, tmp_path):
    copy = tmp_path / "autoencoder-digits" / "copy"
    shutil.copytree(gaussian.path, copy)
    config = OmegaConf.load(copy / "config.yaml")
    config.callbacks.watching.samples._target_ = "os.system"
    OmegaConf.save(config, copy / "config.yaml")
    with pytest.raises(Refused, match=r"callbacks.watching.samples._target_=os.system: expected a class of"):
        main([str(copy), "model.prior.covariance_scale=0.5"])


@pytest.mark.parametrize(("components", "kind"), [(3, "ClassMixture"), (0, "StandardNormal")])
def test_a_configuration_from_before_there_were_priors_opens(gaussian, tmp_path, components, kind):
    copy = tmp_path / "run"
    shutil.copytree(gaussian.path, copy)
    config = OmegaConf.load(copy / "config.yaml")
    del config.model["prior"]
    config.model.components = components
    OmegaConf.save(config, copy / "config.yaml")
    model = open_run(copy).config.model
    assert model.prior._target_.endswith(kind) and "components" not in model
    assert model.prior.get("components", 0) == components


def test_a_prior_that_samples_do_not_come_from_is_not_refitted(tiny):
    run = tiny("model.sampler=algorithm2", "model.refine_steps=1", "callbacks=none", "run.figures=false")
    there = set(run.path.parent.iterdir())
    with pytest.raises(
        Refused, match=r"drawn by Algorithm 2 .*add model.sampler=prior.*, so another prior would give the same samples"
    ):
        main([str(run.path), "model/prior=gaussian"])
    assert set(run.path.parent.iterdir()) == there
    assert main([str(run.path), "model/prior=gaussian", "model.sampler=prior"]) == 0
