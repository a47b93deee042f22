"""A run that was killed or stopped between any two of its writes ends as if nothing had happened, bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import outcome
from rich.console import Console

from genrun.config.compose import compose
from genrun.errors import Interrupted
from genrun.run import run
from genrun.runs.folder import RunFolder

# one method of each kind: averaged weights, two optimizers, a prior that is fitted later, codes, chains, no gradients, phases
METHODS = {
    "ddpm": ["model=ddpm", "model.network.widths=[8,16]", "model.sampler.steps=3"],
    "gan": ["model=gan", "model.generator.widths=[8]", "model.discriminator.widths=[8]"],
    "autoencoder": ["model=autoencoder", "model.encoder.width=8", "model.decoder.width=8", "model.prior.components=2"],
    "csgm": ["model=csgm", "model.prior.components=2", "model.pixels=8", "model.hidden=[24,16]"],
    "rbm": ["model=rbm", "model.hidden=20", "model.chains=10", "model.ais_temperatures=20", "model.gibbs_steps=20"],
    "nota": [
        "model=nota_tiled",
        "model.particles=100",
        "model.steps_per_epoch=2",
        "model.layers=[{_target_: genrun.maths.transport.Tiled, patch: 4, steps: 4}]",
    ],
    "regene": [
        *("model=regene", "model.encoder.width=0.2", "model.decoder.width=0.1", "model.prior.sources=3"),
        *("model.image_check=false", "model.latent_check=false", "model.filter_sources=false"),
        *("model.phases.classifier.max_epochs=2", "model.phases.decoder_outline.max_epochs=1"),
        "model.phases.decoder_pixels.max_epochs=2",
    ],
}


class Run:
    """A small run of one method, done as often as a test needs it."""

    def __init__(self, name: str, folder: Path) -> None:
        random = np.random.default_rng(0)
        images, labels = random.integers(0, 256, (90, 8, 8), dtype=np.uint8), np.arange(90) % 3
        np.savez(folder / "images.npz", images=images, labels=labels)
        self.options = [
            *METHODS[name],
            "data=npz",
            f"data.source.path={folder / 'images.npz'}",
            "data.batch_size=1000" if name == "nota" else "data.batch_size=20",
            "data.validation=10",
            *([] if name == "regene" else ["trainer.max_epochs=2"]),
            "sample.n=9",
            "evaluation=none",
            "run.figures=false",
        ]

    def into(self, outputs: Path) -> RunFolder:
        options = [*self.options, f"paths.outputs={outputs}"]
        return run(compose(options), options, Console(quiet=True))


class Writes:
    """Calls `at(number)` after each file below a folder took its place, and keeps count."""

    def __init__(self, below: Path, at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, replace = 0, os.replace

        def replace_and_call(source, target) -> None:
            replace(source, target)
            if Path(target).is_relative_to(below):
                self.count += 1
                at(self.count)

        monkeypatch.setattr(os, "replace", replace_and_call)


def keep_states(one: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunFolder, list[Path]]:
    """Do a run, and keep a copy of its outputs as a kill after each write would have left them."""
    outputs, states = tmp_path / "undisturbed", []

    def keep(number: int) -> None:
        states.append(tmp_path / f"state_{number}")
        shutil.copytree(outputs, states[-1])

    with monkeypatch.context() as patched:
        Writes(outputs, keep, patched)
        undisturbed = one.into(outputs)
    return undisturbed, states


def ends_training(state: Path) -> bool:
    """Return whether a kept state is in the last epoch of a training, or between it and its record."""
    (folder,) = (RunFolder(path.parent) for path in state.rglob("status.json"))
    status = folder.status()
    return status.get("stage", "").startswith("fit") and status.get("epoch", 0) >= 1


def check_states(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: Callable[[Path], bool]) -> int:
    """Finish the run from every chosen state, and compare it with the undisturbed one. Return how many were chosen."""
    one = Run(name, tmp_path)
    undisturbed, states = keep_states(one, tmp_path, monkeypatch)
    expected, checked, wrong = outcome(undisturbed), 0, {}
    for state in states:
        if any(state.rglob("status.json")) and chosen(state):
            got = outcome(one.into(state))
            checked += 1
            if different := [file for file in expected if got[file] != expected[file]]:
                wrong[state.name] = different
    assert not wrong
    return checked


def test_killed_after_any_write_since_the_last_epoch_it_ends_the_same(tmp_path, monkeypatch):
    assert check_states("ddpm", tmp_path, monkeypatch, ends_training) > 4


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_killed_after_any_write_it_ends_the_same(name, tmp_path, monkeypatch):
    assert check_states(name, tmp_path, monkeypatch, lambda _: True) > 10


def check_signals(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: int) -> int:
    """Stop the run by a signal after each of its writes, one at a time; return how many were tried."""
    one, count = Run(name, tmp_path), 0
    expected, wrong = outcome(one.into(tmp_path / "undisturbed")), {}
    while True:
        count += each
        outputs, number = tmp_path / f"signal_{count}", signal.SIGINT if count % 2 else signal.SIGTERM

        def stop(at: int, when: int = count, number: int = number) -> None:
            if at == when:
                os.kill(os.getpid(), number)

        with monkeypatch.context() as patched:
            writes = Writes(outputs, stop, patched)
            try:
                one.into(outputs)
            except Interrupted as error:
                assert error.signum == number
        if writes.count < count:
            break
        got = outcome(one.into(outputs))
        if different := [file for file in expected if got[file] != expected[file]]:
            wrong[count] = different
    assert not wrong
    return count


def test_stopped_by_a_signal_at_some_writes_it_ends_the_same(tmp_path, monkeypatch):
    assert check_signals("gan", tmp_path, monkeypatch, each=5) > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_stopped_by_a_signal_at_any_write_it_ends_the_same(name, tmp_path, monkeypatch):
    assert check_signals(name, tmp_path, monkeypatch, each=1) > 10
