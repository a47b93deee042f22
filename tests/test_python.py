"""genrun in Python: what the command does, in the user's own process."""

from __future__ import annotations

import inspect
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from conftest import TINY

import genrun
from genrun.errors import Failed

WORDS = (*TINY, "data.limit=60", "trainer.max_epochs=1", "hardware.threads=3")


def state() -> list:
    """What a run must not change in its process."""
    from hydra.core.global_hydra import GlobalHydra

    loggers = [logging.getLogger(name) for name in (None, "genrun", "pytorch_lightning", "py.warnings")]
    return [
        os.getcwd(),
        dict(os.environ),
        list(sys.path),
        list(sys.argv),
        GlobalHydra.instance().hydra,
        [(list(logger.handlers), logger.level, logger.propagate) for logger in loggers],
        [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)],
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.get_rng_state().tolist(),
        np.random.get_state()[1].tolist(),
        random.getstate(),
    ]


def test_a_run_is_what_the_command_does_and_leaves_the_process_as_it_was(tmp_path, monkeypatch, capsys):
    from hydra import initialize_config_module

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    import pytorch_lightning  # noqa: F401 importing it adds a log handler

    with initialize_config_module("genrun.conf", version_base="1.3"):
        before = state()
        run = genrun.run(*WORDS)
        assert state() == before
    assert "epoch 1" in capsys.readouterr().out
    assert repr(run) == f"<run {run.folder.path}: done>" and run.results()["parameters"] > 0
    provenance = json.loads((run.folder.path / "provenance.json").read_text())
    assert provenance["command"] == ["genrun", *WORDS] and provenance["overrides"] == list(WORDS)
    # a finished run returns without building anything
    monkeypatch.setattr("genrun.stages.context.prepare", lambda *_: pytest.fail("built again"))
    again = genrun.run(*WORDS)
    assert again.folder.path == run.folder.path and capsys.readouterr().out == ""
    assert [one.folder.path for one in genrun.runs(model="csgm")] == [run.folder.path]


def test_a_thread_that_is_not_the_main_one_can_run(tmp_path):
    made = []
    words = (*WORDS, "seed=1", f"paths.outputs={tmp_path}")
    worker = threading.Thread(target=lambda: made.append(genrun.run(*words, quiet=True)))
    worker.start()
    worker.join()
    assert made[0].state == "done"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["model=vea"], r"model=vea: no such choice \(did you mean 'vae'\?\)"),
        (["seed=0,1"], "several values"),
        (["list"], "cannot read 'list'"),
        (["run.dry_run=true"], "a dry run leaves no run"),
        (["trainer.max_epochs=0"], "expected at least 1, got 0"),
    ],
)
def test_what_is_wrong_is_raised_and_not_printed(words, line, capsys):
    with pytest.raises(genrun.GenrunError, match=line):
        genrun.run(*words)
    assert capsys.readouterr() == ("", "")


def test_any_other_error_is_raised_as_an_error_of_genrun(tmp_path, monkeypatch):
    def broken(*_) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(genrun.run, "attempt", broken)
    with pytest.raises(Failed, match="ZeroDivisionError: by nothing") as error:
        genrun.run(*WORDS, f"paths.outputs={tmp_path}", quiet=True)
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_compose_gives_the_configuration_of_the_command(tmp_path):
    assert genrun.compose("model=vae", "seed=3").seed == 3 and genrun.compose("model=vae").model.name == "vae"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("_target_: genrun.methods.vae.VAE\n")
    assert genrun.compose("model=mine", config_dir=str(tmp_path)).model.name == "mine"


def test_the_functions_stay_functions_when_the_modules_of_their_names_are_imported():
    import genrun.run
    import genrun.runs.open

    assert callable(genrun.run) and callable(genrun.runs)
    assert list(inspect.signature(genrun.run).parameters) == ["words", "config_dir", "quiet"]
    assert {"compose", "open_run", "run", "runs", "GenrunError"} <= set(dir(genrun)) and "Any" not in dir(genrun)
    with pytest.raises(AttributeError, match="no attribute 'runz'"):
        genrun.runz  # noqa: B018


def test_importing_genrun_imports_no_library():
    slow = ["hydra", "omegaconf", "torch", "pytorch_lightning", "numpy", "rich", "yaml", "pandas"]
    script = f"import genrun, sys; dir(genrun); sys.exit(bool(set({slow}) & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
