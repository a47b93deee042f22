"""The extras of the package, and how a missing one is named."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from types import SimpleNamespace

import pytest
from rich.console import Console

from genrun.config import extras
from genrun.config.build import find_target
from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.runs.folder import RunFolder
from genrun.sweeps.launchers.ray import Ray
from genrun.sweeps.launchers.submitit import Submitit
from genrun.training.trainer import make_loggers

MODULES = {  # module that is missing → the extra that brings it
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "mlflow.tracking": "mlflow",
    "torch_fidelity.feature_extractor_inceptionv3": "inception",
    "submitit": "submitit",
    "ray": "ray",
    "optuna.samplers": "optuna",
    "pandas": "notebook",
    "onnxruntime": "export",
}


@pytest.fixture(params=["installed", "a clone that was never installed"])
def where(request, monkeypatch) -> str:
    if request.param != "installed":

        def missing(name: str):
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(metadata, "distribution", missing)
        monkeypatch.setattr(metadata, "requires", missing)
    return request.param


def test_every_extra_is_found_by_a_module_that_it_brings(where):
    assert {module: extras.extra_of(module) for module in MODULES} == MODULES
    users = tomllib.loads((extras.ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert users.keys() - {"bench", "test"} == set(MODULES.values())  # a new extra comes into this test
    assert extras.extra_of("torch") is extras.extra_of("tensor") is extras.extra_of("") is None


def test_the_command_is_of_this_python_and_knows_a_clone(where, monkeypatch):
    of_clone = f"-e '{extras.ROOT}[ray]'"
    assert extras.to_install("ray") == (
        f"the extra ray: {sys.executable} -m pip install " + ("'genrun[ray]'" if where == "installed" else of_clone)
    )
    monkeypatch.setattr(extras, "find_spec", lambda name: None)  # uv makes environments without pip
    assert f": uv pip install --python {sys.executable} " in extras.to_install("ray")


@pytest.mark.skipif(subprocess.call([sys.executable, "-c", "import pip"]), reason="this Python has no pip")
def test_pip_takes_the_command_for_the_genrun_that_is_installed():
    _, _, command = extras.to_install("inception").partition(": ")
    offline = f"{command} --no-index --dry-run --disable-pip-version-check"
    printed = subprocess.run(offline, shell=True, capture_output=True, text=True)
    assert "No matching distribution found for genrun" not in printed.stdout + printed.stderr
    assert "torch-fidelity" in (printed.stdout + printed.stderr).replace("_", "-")


def hidden(monkeypatch, module: str) -> None:
    """Make an import of this module fail."""
    monkeypatch.setitem(sys.modules, module, None)


def test_a_launcher_and_a_class_name_the_extra(monkeypatch):
    for module in ("ray", "submitit", "optuna", "optuna.samplers"):
        hidden(monkeypatch, module)
    for build, line in (
        (lambda: Ray(None, None, 1, 0), "hydra/launcher=ray needs the extra ray: "),
        (
            lambda: Submitit("local", None, 1, 0, 60, 90, {}),
            "hydra/launcher=submitit_local needs the extra submitit: ",
        ),
        (lambda: find_target("optuna.samplers.TPESampler", "hydra.sweeper.sampler"), "it needs the extra optuna: "),
    ):
        with pytest.raises(Refused, match=line) as caught:
            build()
        assert "-m pip install 'genrun[" in str(caught.value) or "uv pip install" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("tensorboard", "Neither `tensorboard` nor `tensorboardX` is available.", "needs the extra tensorboard: "),
        ("wandb", "Requirement 'wandb>=0.12.10' not met. HINT: …\n", "needs the extra wandb: "),
        ("mine", "Requirement 'mlflow>=1.0.0' not met. HINT: …", "needs the extra mlflow: "),
        ("mine", "No module named 'my_server'", "cannot be built .No module named 'my_server'"),
    ],
)
def test_a_logger_names_the_extra_of_what_is_missing_and_not_its_own_key(name, text, expected, monkeypatch, tmp_path):
    def build(*_: object, **__: object) -> None:
        raise ModuleNotFoundError(text)

    monkeypatch.setattr("genrun.training.trainer.build", build)
    with pytest.raises(Refused, match=rf"^logger={name} {expected}"):
        make_loggers(SimpleNamespace(logger={name: None}), RunFolder(tmp_path), Console(quiet=True))


def test_a_class_that_is_missing_for_another_reason_names_no_extra():
    with pytest.raises(Refused) as caught:
        find_target("no_such_package.Thing", "model")
    assert "extra" not in str(caught.value)
    assert compose(["logger=wandb"]).logger.wandb  # the group itself needs no package
