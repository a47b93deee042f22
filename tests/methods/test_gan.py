"""The adversarial game: whose weights each step moves, and what counts as a step."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from helpers.losses import LOSSES
from pytorch_lightning import Callback
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.maths.adversarial import BoundaryEquilibrium, NonSaturating
from genrun.methods.gan import GAN
from genrun.nn.conv import ConvDecoder, ConvEncoder
from genrun.nn.mlp import MLPDecoder, MLPEncoder
from genrun.types import Batch

SHAPE, CLASSES = (1, 8, 8), 3
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


# ------------------------------------------------------------------------------------------------------------ penalties


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


# -------------------------------------------------------------------------------------------------------- the two steps


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
    method.descend_generator(of_g, fake, real, labels)
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


def test_an_auxiliary_classifier_adds_the_cross_entropy_of_the_class_to_both_losses(monkeypatch):
    monkeypatch.setattr(GAN, "manual_backward", lambda self, loss: loss.backward())
    networks = {"generator": MLP["generator"], "discriminator": partial(MLPEncoder, hidden=(9, 8))}
    method = gan(networks, conditional=True, auxiliary=0.7).double()
    of_g, of_d = (torch.optim.SGD(part.parameters(), lr=0.0) for part in (method.generator, method.discriminator))
    labels = torch.tensor([2, 0, 1, 1, 2, 2])
    real, fake = normal(6, *SHAPE).tanh(), method.generate(normal(6, 4, seed=1), labels)
    outputs = {name: method.discriminator(x).detach().numpy() for name, x in (("real", real), ("fake", fake))}

    def log_sigmoid(x):
        return -np.log1p(np.exp(-x))

    def class_error(x):
        classes = x[:, 1:]
        return np.mean(np.log(np.exp(classes).sum(1)) - classes[np.arange(6), labels.numpy()])

    source = -(log_sigmoid(outputs["real"][:, 0]).mean() + log_sigmoid(-outputs["fake"][:, 0]).mean()) / 2
    expected = source + 0.7 * (class_error(outputs["real"]) + class_error(outputs["fake"]))
    assert method.descend_discriminator(of_d, real, fake.detach(), labels).item() == pytest.approx(expected)
    expected = -log_sigmoid(outputs["fake"][:, 0]).mean() + 0.7 * class_error(outputs["fake"])
    assert method.descend_generator(of_g, fake, real, labels).item() == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"model\.auxiliary=1\.0: expected 0, or more with labels"):
        gan(auxiliary=1.0)


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


# ------------------------------------------------------------------------------------------------------- what a step is


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
    with pytest.raises(ValueError, match=r"model/loss: expected model/discriminator=autoencoder .* got MLPEncoder"):
        gan(MLP, loss=BoundaryEquilibrium()).check_options()


def test_truncated_samples_are_of_shorter_codes():
    method = gan(MLP, truncation=0.5)
    codes = torch.randn(3, method.code_size, generator=torch.Generator().manual_seed(4))
    samples = method.sample(3, generator=torch.Generator().manual_seed(4))
    assert torch.equal(samples, method.decode_codes(codes / 2))


def test_losses_in_bfloat16_are_averaged_in_32_bits():
    """A sum in bfloat16 stops at 256, where the next number is 258."""
    method = gan()
    for _ in range(1000):
        method.track(discriminator=torch.tensor(0.7, dtype=torch.bfloat16))
    assert method.running_means()["discriminator"] == pytest.approx(0.7, rel=0.01)
