"""The adversarial game: its losses in numpy, whose weights each step moves, what counts as a step; and every generator's resumption."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from conftest import outcome
from pytorch_lightning import Callback
from rich.console import Console

from genrun.cli import compose
from genrun.errors import Interrupted
from genrun.run import run
from genrun.runs import RunFolder

# -------------------------------------------------------------------------------------------- resumption, of every generator


class Disturbance(Callback):
    """Stops the run once at each of `stops`: (epoch, batch, how)."""

    stops: list[tuple[int, int, str]] = []

    def __init__(self, folder: RunFolder, seed: int) -> None:
        pass

    def on_train_batch_end(self, trainer, method, outputs, batch, batch_idx: int) -> None:
        if self.stops and (trainer.current_epoch, batch_idx) == self.stops[0][:2]:
            *_, how = self.stops.pop(0)
            if how == "breaks":
                raise RuntimeError("the machine is gone")
            os.kill(os.getpid(), signal.SIGTERM)


GENERATORS = {
    "gan": ["model=gan", "model.generator.width=8", "model.discriminator.width=8"],
    "gan-labels": [
        "model=gan",
        "model.conditional=true",
        "model.critic_steps=2",
        "model/loss=wasserstein",
        "model.generator.width=8",
        "model.discriminator.width=8",
    ],
    "gan_paper": ["model=gan_paper", "model.generator.hidden=[16]", "model.discriminator.hidden=[32,16]"],
    "rbm": ["model=rbm", "model.hidden=20", "model.chains=10", "model.ais_temperatures=20", "model.gibbs_steps=20"],
    "rbm-labels": ["model=rbm", "model.conditional=true", "model.hidden=20", "model.ais_temperatures=20"],
    "vae": ["model=vae", "model.encoder.width=8", "model.decoder.width=8", "model.components=2"],
    "ddpm": ["model=ddpm", "model.network.widths=[8,16]", "model.sampler.steps=3"],
    "ddpm-labels": ["model=ddpm", "model.conditional=true", "model.network.widths=[8,16]", "model.sampler.steps=3"],
    "ddpm_paper": ["model=ddpm_paper", "model.network.width=8", "model.beta_schedule.steps=9", "model.halve_after=0"],
    "flow_matching": ["model=flow_matching", "model.network.widths=[8,16]", "model.sampler.steps=3"],
}


@pytest.mark.parametrize("options", GENERATORS.values(), ids=GENERATORS)
def test_a_run_that_breaks_and_is_ended_amid_an_epoch_equals_an_undisturbed_one(options, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    np.savez(
        tmp_path / "images.npz", images=random.integers(0, 256, (90, 8, 8), dtype=np.uint8), labels=np.arange(90) % 3
    )

    def finish(outputs: str) -> RunFolder:
        every = [
            *options,
            "data=npz",
            f"data.source.path={tmp_path / 'images.npz'}",
            "data.batch_size=10",
            "data.validation=10",
            "trainer.max_epochs=3",
            "sample.n=9",
            "evaluation=none",
            "callbacks=none",
            "+callbacks.watching.stop._target_=test_gan.Disturbance",
            f"paths.outputs={tmp_path / outputs}",
        ]
        return run(compose(every), every, Console(quiet=True))

    monkeypatch.setattr(Disturbance, "stops", [])
    undisturbed = finish("undisturbed")
    monkeypatch.setattr(Disturbance, "stops", [(1, 4, "breaks"), (1, 2, "ends"), (2, 1, "ends")])
    with pytest.raises(RuntimeError, match="the machine is gone"):
        finish("disturbed")
    for _ in range(2):
        with pytest.raises(Interrupted):
            finish("disturbed")
    disturbed = finish("disturbed")
    assert len(disturbed.status()["attempts"]) == 4 and not Disturbance.stops
    expected = outcome(undisturbed)
    differing = [name for name, content in outcome(disturbed).items() if content != expected[name]]
    assert not differing
