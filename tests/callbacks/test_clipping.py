"""Gradient clipping: with every method that has gradients, however it steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import Callback
from rich.console import Console

from genrun.callbacks.clipping import GradientClipping
from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.run import run

LIMIT = 1e-4
PARTS = "genrun.maths.transport"
METHODS = {
    "vae": [
        "model.encoder.width=4",
        "model.decoder.width=4",
        "model.encoder.hidden=8",
        "model.decoder.hidden=8",
        "model.prior.components=1",
    ],
    "autoencoder": ["model/encoder=mlp", "model/decoder=mlp", "model.prior.components=1"],
    "ddpm": ["model.network.widths=[8,16]"],
    "ddpm_paper": ["model.network.width=8", "model.beta_schedule.steps=20"],
    "flow_matching": ["model.network.widths=[8,16]"],
    "gan": ["model.generator.widths=[8]", "model.discriminator.widths=[8]"],
    "rbm": ["model.hidden=16", "model.gibbs_steps=2"],
    "csgm": ["model.hidden=[16]"],
}


class Norms(Callback):
    """The norm of all gradients, and the largest of them, when an optimizer has just stepped."""

    def __init__(self) -> None:
        self.norms: dict[int, list[float]] = {}
        self.largest: list[float] = []

    def on_train_start(self, trainer, method):
        for number, optimizer in enumerate(trainer.optimizers):
            optimizer.register_step_post_hook(lambda optimizer, *_, number=number: self.see(number, optimizer))

    def see(self, number, optimizer):
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        every = torch.cat([weight.grad.flatten().double() for weight in weights if weight.grad is not None])
        self.norms.setdefault(number, []).append(every.norm().item())
        self.largest.append(every.abs().max().item())


def trained(folder, *asked: str) -> Norms:
    np.savez(folder / "images.npz", images=np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8))
    every = [
        *asked,
        "data=npz",
        f"data.source.path={folder / 'images.npz'}",
        "data.batch_size=30",
        "data.validation=0",
        "hardware=cpu",
        "trainer.max_epochs=1",
        "sample.n=2",
        "evaluation=none",
        "callbacks=none",
    ]
    norms = Norms()
    run(compose([*every, f"paths.outputs={folder}"]), every, Console(quiet=True), callbacks=[norms])
    return norms


@pytest.mark.parametrize(
    ("model", "precision"), [*((model, "bf16-mixed") for model in METHODS), ("vae", "32-true"), ("gan", "32-true")]
)
def test_no_step_has_larger_gradients(model, precision, tmp_path):
    asked = [f"model={model}", *METHODS[model], f"hardware.precision={precision}"]
    seen = trained(tmp_path, *asked, f"trainer.gradient_clip_val={LIMIT}").norms
    assert len(seen) == (2 if model == "gan" else 1)  # optimizers
    for norms in seen.values():
        assert norms and all(norm <= LIMIT * 1.001 for norm in norms) and max(norms) > LIMIT * 0.99


def test_each_value_can_be_clipped(tmp_path):
    asked = ["model=gan", *METHODS["gan"], f"trainer.gradient_clip_val={LIMIT}"]
    seen = trained(tmp_path, *asked, "+trainer.gradient_clip_algorithm=value")
    assert max(seen.largest) == pytest.approx(LIMIT) and max(seen.norms[0]) > LIMIT


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        (["trainer.gradient_clip_val=-1"], r"trainer.gradient_clip_val: expected at least 0, got -1"),
        (["trainer.gradient_clip_val=fast"], r"trainer.gradient_clip_val: expected a number .* got 'fast'"),
        (["trainer.gradient_clip_val=nan"], r"trainer.gradient_clip_val: expected a finite number, got nan"),
        (["trainer.gradient_clip_val=true"], r"trainer.gradient_clip_val: expected a number .* got True"),
        (
            ["trainer.gradient_clip_val=1", "+trainer.gradient_clip_algorithm=norms"],
            r"trainer.gradient_clip_algorithm: expected norm or value, got 'norms' \(did you mean 'norm'\?\)",
        ),
        (
            ["+trainer.gradient_clip_algorithm=value"],
            r"trainer.gradient_clip_algorithm=value needs trainer.gradient_clip_val, got null",
        ),
    ],
)  # fmt: skip
def test_a_wrong_limit_is_refused_before_training(asked, line, tmp_path):
    with pytest.raises(Refused, match=line):
        trained(tmp_path, "model=csgm", *asked)


def test_a_method_without_gradients_is_refused(tmp_path):
    maps = f"{{_target_: {PARTS}.Polynomial, degree: 2}}"
    layers = f"model.layers=[{{_target_: {PARTS}.Linear, slices: 8, steps: 4, map: {maps}}}]"
    with pytest.raises(Refused, match=r"trainer.gradient_clip_val=1: nota_linear has no gradients; leave it null"):
        trained(tmp_path, "model=nota_linear", "model.particles=100", layers, "trainer.gradient_clip_val=1")


def test_gradients_that_a_scaler_enlarged_are_made_small_before_they_are_clipped():
    """As in 16-mixed on a GPU, with a fused optimizer, which would do it only in its step."""
    weight = torch.nn.Parameter(torch.ones(4))
    optimizer = torch.optim.Adam([weight], fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale((weight * torch.tensor([3e-5, 4e-5, 0, 0])).sum()).backward()

    class Lightning:
        automatic_optimization, precision_plugin = True, None

    Lightning.precision_plugin = type("Plugin", (), {"scaler": scaler})
    GradientClipping(LIMIT, "norm").on_before_optimizer_step(Lightning, Lightning, optimizer)
    torch.testing.assert_close(weight.grad, torch.tensor([3e-5, 4e-5, 0, 0]))  # its norm is below the limit
    before = weight.detach().clone()
    scaler.step(optimizer)
    assert (weight != before).tolist() == [True, True, False, False]
