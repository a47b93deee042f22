"""The adversarial game: its losses in numpy, whose weights each step moves, what counts as a step; and every generator's resumption."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import outcome
from pytorch_lightning import Callback
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.config.compose import compose
from genrun.errors import Interrupted
from genrun.maths.adversarial import Hinge, LeastSquares, NonSaturating, Wasserstein
from genrun.methods.gan import GAN
from genrun.nn.conv import ConvDecoder, ConvEncoder
from genrun.nn.mlp import MLPDecoder, MLPEncoder
from genrun.run import run
from genrun.runs.folder import RunFolder
from genrun.types import Batch

SHAPE, CLASSES = (1, 8, 8), 3
LOSSES = {"non_saturating": NonSaturating, "least_squares": LeastSquares, "hinge": Hinge, "wasserstein": Wasserstein}
MLP = {"generator": partial(MLPDecoder, hidden=(9,)), "discriminator": partial(MLPEncoder, hidden=(9, 8), dropout=0.3)}
DCGAN = {
    "generator": partial(ConvDecoder, width=8, batch_norm=True),
    "discriminator": partial(ConvEncoder, width=8, spectral_norm=True),
}


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def gan(networks=MLP, **options) -> GAN:
    torch.manual_seed(0)
    options = {"loss": NonSaturating(), "optimizer": sgd, "discriminator_optimizer": sgd, "code_size": 4} | options
    return GAN(SHAPE, CLASSES, **networks, **options)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ----------------------------------------------------------------------------------------------------------------- losses


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


FORMULAS = {  # of the logits of real and generated images, as their papers have them
    "non_saturating": (
        lambda x, y: (-np.log(sigmoid(x)).mean() - np.log(1 - sigmoid(y)).mean()) / 2,  # (27), (28), (29)
        lambda y: -np.log(sigmoid(y)).mean(),  # (30)
    ),
    "least_squares": (
        lambda x, y: 0.5 * np.mean((x - 1) ** 2) + 0.5 * np.mean(y**2),
        lambda y: 0.5 * np.mean((y - 1) ** 2),
    ),
    "hinge": (
        lambda x, y: -np.minimum(0, x - 1).mean() - np.minimum(0, -y - 1).mean(),
        lambda y: -y.mean(),
    ),
    "wasserstein": (lambda x, y: y.mean() - x.mean(), lambda y: -y.mean()),
}


@pytest.mark.parametrize("name", LOSSES)
def test_both_sides_of_a_loss_are_its_formulas(name):
    real, fake = 2 * normal(40, seed=1), 2 * normal(40, seed=2)
    of_discriminator, of_generator = FORMULAS[name]
    loss = LOSSES[name]()
    assert loss.discriminator(real, fake).item() == pytest.approx(of_discriminator(real.numpy(), fake.numpy()))
    assert loss.generator(fake).item() == pytest.approx(of_generator(fake.numpy()))
    assert (loss.penalty(lambda x: x.sum((1, 2, 3)), normal(2, *SHAPE), normal(2, *SHAPE)) is None) == (
        name != "wasserstein"
    )


def test_logits_far_off_keep_their_gradient():
    far = torch.tensor([-500.0], dtype=torch.float64, requires_grad=True)
    NonSaturating().generator(far).backward()
    assert far.grad.item() == -1


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope():
    w = normal(*SHAPE, seed=3)
    found = Wasserstein(7.0).penalty(lambda x: (x * w).sum((1, 2, 3)) + 5, normal(6, *SHAPE), normal(6, *SHAPE, seed=1))
    assert found.item() == pytest.approx(7 * (w.norm().item() - 1) ** 2)


def test_the_penalty_is_that_of_finite_differences_between_real_and_generated_images():
    real, fake, w = normal(3, *SHAPE), normal(3, *SHAPE, seed=1), normal(*SHAPE, seed=3)

    def critic(x: Tensor) -> Tensor:
        return (x * w).sin().sum((1, 2, 3))

    torch.manual_seed(8)
    found = Wasserstein(10.0).penalty(critic, real, fake).item()
    torch.manual_seed(8)
    at = torch.rand(3, 1, 1, 1, dtype=torch.float64)
    between, h = (1 - at) * real + at * fake, 1e-6
    norms = []
    for image in between:
        slopes = []
        for place in range(image.numel()):
            step = torch.zeros(image.numel(), dtype=torch.float64)
            step[place] = h
            ahead, behind = image + step.view(SHAPE), image - step.view(SHAPE)
            slopes.append((critic(ahead[None]) - critic(behind[None])).item() / (2 * h))
        norms.append(np.linalg.norm(slopes))
    assert found == pytest.approx(10 * np.mean((np.array(norms) - 1) ** 2), rel=1e-6)


def test_r1_is_half_the_squared_slope_at_real_images():
    w, real = normal(*SHAPE, seed=3), normal(6, *SHAPE)
    found = NonSaturating(7.0).penalty(lambda x: (x.square() * w).sum((1, 2, 3)), real, normal(6, *SHAPE, seed=1))
    assert found.item() == pytest.approx(3.5 * (2 * real * w).square().sum((1, 2, 3)).mean().item())


def test_a_lazy_penalty_is_in_every_kth_batch_k_times_over(monkeypatch):
    monkeypatch.setattr(GAN, "manual_backward", lambda self, loss: loss.backward())
    real, fake = normal(6, *SHAPE).float().tanh(), normal(6, *SHAPE, seed=1).float().tanh()

    def losses(steps: int, **options) -> float:
        torch.manual_seed(0)
        method = gan(MLP, **options)
        monkeypatch.setattr(GAN, "global_step", steps)
        _, of_d = method.configure_optimizers()
        return method.descend_discriminator(of_d, real, fake, torch.zeros(6, dtype=torch.long)).item()

    without = losses(0, loss=NonSaturating())
    penalty = losses(0, loss=NonSaturating(0.5)) - without
    assert penalty > 0
    assert losses(6, loss=NonSaturating(0.5), penalty_every=3) == pytest.approx(without + 3 * penalty, rel=1e-5)
    assert losses(7, loss=NonSaturating(0.5), penalty_every=3) == without


@pytest.mark.parametrize("loss", [Wasserstein(), NonSaturating(1.0)], ids=["wasserstein", "r1"])
def test_the_penaltys_gradient_reaches_the_critic(loss):
    critic = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    penalty = loss.penalty(lambda x: critic(x)[:, 0], normal(4, *SHAPE), normal(4, *SHAPE, seed=1))
    penalty.backward()
    assert all(critic[layer].weight.grad.abs().sum() > 0 for layer in (1, 3))


# ----------------------------------------------------------------------------------------------------------- the two steps


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def moved(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, weight in module.named_parameters() if not torch.equal(weight, before[name])}


@pytest.mark.parametrize("networks", [MLP, DCGAN], ids=["mlp", "dcgan"])
@pytest.mark.parametrize("conditional", [False, True], ids=["images", "labels"])
@pytest.mark.parametrize("name", LOSSES)
def test_each_step_moves_its_own_networks_weights_and_all_of_them(networks, conditional, name, monkeypatch):
    monkeypatch.setattr(GAN, "manual_backward", lambda self, loss: loss.backward())
    method = gan(networks, conditional=conditional, loss=LOSSES[name]())
    of_g, of_d = method.configure_optimizers()
    labels = torch.arange(6) % CLASSES
    real, fake = normal(6, *SHAPE).float().tanh(), method.generate(normal(6, 4, seed=1).float(), labels)
    g, d = weights(method.generator), weights(method.discriminator)
    method.descend_discriminator(of_d, real, fake.detach(), labels)
    # a constant added to every logit may not matter to the loss, nor the bias of a layer to the norm behind it
    assert moved(method.discriminator, d) >= {name for name in d if "bias" not in name}
    assert not moved(method.generator, g)
    d = weights(method.discriminator)
    grads = [weight.grad.clone() for weight in method.discriminator.parameters()]
    method.descend_generator(of_g, fake, labels)
    assert not moved(method.discriminator, d)
    assert moved(method.generator, g) >= {name for name in g if "bias" not in name}
    assert all(weight.requires_grad for weight in method.discriminator.parameters())
    for weight, grad in zip(method.discriminator.parameters(), grads, strict=True):
        assert torch.equal(weight.grad, grad)  # G's step left none there


def test_both_steps_descend_the_losses_of_the_same_generated_images(monkeypatch):
    """One batch by hand: D's step on (29), then G's on (30) through the D that has moved, each by autograd of BCE."""
    monkeypatch.setattr(GAN, "manual_backward", lambda self, loss: loss.backward())
    networks = {"generator": MLP["generator"], "discriminator": partial(MLPEncoder, hidden=(9, 8))}
    method, other = gan(networks).double(), gan(networks).double()
    optimizers = method.configure_optimizers()
    method.optimizers = lambda use_pl_optimizer=True: optimizers
    method.progress = lambda: 0.0
    images = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.manual_seed(4)
    method.training_step(Batch(images, torch.zeros(6, dtype=torch.long), torch.arange(6)), 0)

    torch.manual_seed(4)
    g, d = other.generator, other.discriminator
    fake = torch.tanh(g(torch.randn(6, 4, dtype=torch.float64)))
    one, zero = torch.ones(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    bce = F.binary_cross_entropy
    loss_d = 0.5 * (bce(d(2 * images - 1)[:, 0].sigmoid(), one) + bce(d(fake.detach())[:, 0].sigmoid(), zero))
    with torch.no_grad():
        for weight, grad in zip(d.parameters(), torch.autograd.grad(loss_d, list(d.parameters())), strict=True):
            weight -= 0.1 * grad
    loss_g = bce(d(fake)[:, 0].sigmoid(), one)
    with torch.no_grad():
        for weight, grad in zip(g.parameters(), torch.autograd.grad(loss_g, list(g.parameters())), strict=True):
            weight -= 0.1 * grad
    assert method.running_means() == pytest.approx({"discriminator": loss_d.item(), "generator": loss_g.item()})
    for a, b in zip(method.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("networks", [MLP, DCGAN], ids=["mlp", "dcgan"])
def test_a_conditional_discriminator_adds_the_logit_of_the_class(networks):
    method = gan(networks, conditional=True).eval()
    images, labels = normal(5, *SHAPE).float(), torch.tensor([2, 0, 1, 1, 2])
    logits = method.discriminator(images)
    assert logits.shape == (5, 1 + CLASSES)
    expected = torch.stack([logits[i, 0] + logits[i, 1 + label] for i, label in enumerate(labels.tolist())])
    torch.testing.assert_close(method.discriminate(images, labels), expected)
    # so the last layer is ψ(x) and an embedding of the class: w·φ(x) + V_y·φ(x)
    (*_, last) = [layer for layer in method.discriminator.modules() if isinstance(layer, nn.Linear)]
    features: list[Tensor] = []
    last.register_forward_hook(lambda _, inputs, output: features.append(inputs[0]))
    found = method.discriminate(images, labels)
    projected = features[0] @ last.weight.T
    by_hand = projected[:, 0] + last.bias[0] + last.bias[1:][labels]
    by_hand = by_hand + (features[0] * last.weight[1:][labels]).sum(1)
    torch.testing.assert_close(found, by_hand)


def test_a_conditional_generator_sees_the_class():
    method = gan(conditional=True).eval()
    codes, labels = normal(2, 4).float(), torch.tensor([1, 2])
    expected = method.generator(torch.cat([codes, torch.eye(3)[labels]], 1)).tanh()
    torch.testing.assert_close(method.generate(codes, labels), expected)
    torch.testing.assert_close(method.decode_codes(codes, labels), (expected.detach() + 1) / 2)


# -------------------------------------------------------------------------------------------------------------- what a step is


class Batches:
    """A loader: a list would be taken for several loaders."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self):
        for seed in range(self.count):
            images = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(seed))
            yield Batch(images, torch.arange(6) % CLASSES, torch.arange(6))


class Rates(Callback):
    """The step and both rates at each batch's end, and how often each network was asked to learn."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float, float]] = []

    def on_train_batch_end(self, trainer, *_) -> None:
        rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
        self.seen.append((trainer.global_step, *rates))


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_a_batch_counts_as_one_step_and_both_rates_follow_the_schedule_to_the_end(schedule):
    method = gan(
        conditional=True,
        critic_steps=2,
        schedule=schedule,
        optimizer=partial(torch.optim.Adam, lr=0.01),
        discriminator_optimizer=partial(torch.optim.Adam, lr=0.03),
    )
    seen = Rates()
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[seen],
    )
    trainer.fit(method, Batches(5))
    assert [step for step, *_ in seen.seen] == list(range(1, 11)) and trainer.global_step == 10
    done = np.arange(10) / 10  # the first batch has the full rate
    share = {"constant": np.ones(10), "linear": 1 - done, "cosine": 0.5 + 0.5 * np.cos(np.pi * done)}[schedule]
    np.testing.assert_allclose([rate for _, rate, _ in seen.seen], 0.01 * share, rtol=1e-9)
    np.testing.assert_allclose([rate for *_, rate in seen.seen], 0.03 * share, rtol=1e-9)
    adam_g, adam_d = trainer.optimizers
    assert {int(state["step"]) for state in adam_g.state.values()} == {10}
    assert {int(state["step"]) for state in adam_d.state.values()} == {20}  # critic_steps


def test_options_out_of_range_are_refused():
    for name in ("code_size", "critic_steps", "penalty_every"):
        with pytest.raises(ValueError, match=rf"model\.{name}: expected at least 1, got 0"):
            gan(**{name: 0})
    with pytest.raises(ValueError, match=r"model\.truncation: expected more than 0, got 0"):
        gan(truncation=0)


def test_truncated_samples_are_of_shorter_codes():
    method = gan(MLP, truncation=0.5)
    codes = torch.randn(3, method.code_size, generator=torch.Generator().manual_seed(4))
    samples = method.sample(3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(samples, method.decode_codes(codes / 2))


# -------------------------------------------------------------------------------------------- resumption, of every generator


class Disturbance(Callback):
    """Stops the run once at each of `stops`: (epoch, batch, how)."""

    stops: ClassVar[list[tuple[int, int, str]]] = []

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
        "model.discriminator.spectral_norm=true",
        "model/loss=wasserstein",
        "model.generator.width=8",
        "model.discriminator.width=8",
    ],
    "gan_paper": ["model=gan_paper", "model.generator.hidden=[16]", "model.discriminator.hidden=[32,16]"],
    "rbm": ["model=rbm", "model.hidden=20", "model.chains=10", "model.ais_temperatures=20", "model.gibbs_steps=20"],
    "rbm-labels": ["model=rbm", "model.conditional=true", "model.hidden=20", "model.ais_temperatures=20"],
    "autoencoder": [
        "model=autoencoder",
        "model.encoder.width=8",
        "model.decoder.width=8",
        "model.prior.components=2",
    ],
    "vae": ["model=vae", "model.encoder.width=8", "model.decoder.width=8", "model.prior.components=2"],
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
            "~callbacks.watching.samples",
            "~callbacks.watching.codes",
            "+callbacks.watching.stop._target_=test_gan.Disturbance",
            f"paths.outputs={tmp_path / outputs}",
        ]
        return run(compose(every), every, Console(quiet=True))

    monkeypatch.setattr(Disturbance, "stops", [])
    undisturbed = finish("undisturbed")
    monkeypatch.setattr(Disturbance, "stops", [(1, 4, "breaks"), (2, 1, "ends")])
    with pytest.raises(RuntimeError, match="the machine is gone"):
        finish("disturbed")
    with pytest.raises(Interrupted):
        finish("disturbed")
    disturbed = finish("disturbed")
    assert len(disturbed.status()["attempts"]) == 3 and not Disturbance.stops
    expected = outcome(undisturbed)
    differing = [name for name, content in outcome(disturbed).items() if content != expected[name]]
    assert not differing
