"""The losses and penalties of the adversarial game in numpy, and by finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.losses import LOSSES
from torch import Tensor, nn

from genrun.maths.adversarial import (
    DRAGAN,
    BoundaryEquilibrium,
    NonSaturating,
    Relativistic,
    Wasserstein,
)

SHAPE = (1, 8, 8)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


FORMULAS = {  # of the logits of real and generated images, as their papers have them
    "non_saturating": (
        lambda x, y: (-np.log(sigmoid(x)).mean() - np.log(1 - sigmoid(y)).mean()) / 2,  # (27), (28), (29)
        lambda x, y: -np.log(sigmoid(y)).mean(),  # (30)
    ),
    "least_squares": (
        lambda x, y: 0.5 * np.mean((x - 1) ** 2) + 0.5 * np.mean(y**2),
        lambda x, y: 0.5 * np.mean((y - 1) ** 2),
    ),
    "hinge": (
        lambda x, y: -np.minimum(0, x - 1).mean() - np.minimum(0, -y - 1).mean(),
        lambda x, y: -y.mean(),
    ),
    "wasserstein": (lambda x, y: y.mean() - x.mean(), lambda x, y: -y.mean()),
    "relativistic": (
        lambda x, y: -np.log(sigmoid(x - y)).mean(),
        lambda x, y: -np.log(sigmoid(y - x)).mean(),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_both_sides_of_a_loss_are_its_formulas(name):
    real, fake = 2 * normal(40, seed=1), 2 * normal(40, seed=2)
    of_discriminator, of_generator = FORMULAS[name]
    loss = LOSSES[name]()
    assert loss.discriminator(real, fake).item() == pytest.approx(of_discriminator(real.numpy(), fake.numpy()))
    others = real if loss.relativistic else None
    assert loss.generator(fake, others).item() == pytest.approx(of_generator(real.numpy(), fake.numpy()))
    penalty = loss.penalty(lambda x: x.sum((1, 2, 3)), normal(2, *SHAPE), normal(2, *SHAPE))
    assert (penalty is None) == (name not in ("wasserstein", "relativistic"))


def test_logits_far_off_keep_their_gradient():
    far = torch.tensor([-500.0], dtype=torch.float64, requires_grad=True)
    NonSaturating().generator(far, None).backward()
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


def test_r1_and_r2_are_half_the_squared_slopes_at_real_and_at_generated_images():
    w, real, fake = normal(*SHAPE, seed=3), normal(6, *SHAPE), normal(6, *SHAPE, seed=1)
    found = Relativistic(7.0).penalty(lambda x: (x.square() * w).sum((1, 2, 3)), real, fake)
    slopes = [(2 * images * w).square().sum((1, 2, 3)).mean().item() for images in (real, fake)]
    assert found.item() == pytest.approx(3.5 * sum(slopes))


def test_dragans_penalty_is_that_of_the_slope_near_real_images():
    real = normal(6, *SHAPE, seed=4)
    torch.manual_seed(8)
    found = DRAGAN(3.0).penalty(lambda x: x.square().sum((1, 2, 3)) / 2, real, normal(6, *SHAPE)).item()
    torch.manual_seed(8)
    at, u = torch.rand(6, 1, 1, 1, dtype=torch.float64).numpy(), torch.rand(6, *SHAPE, dtype=torch.float64).numpy()
    values = real.numpy()
    near = values + at * 0.5 * values.std(ddof=1) * u  # the slope of ½‖x‖² is x
    assert found == pytest.approx(3 * np.mean((np.linalg.norm(near.reshape(6, -1), axis=1) - 1) ** 2))
    assert DRAGAN().discriminator(*normal(2, 9)) == NonSaturating().discriminator(*normal(2, 9))


def test_began_keeps_its_balance_and_saves_it():
    loss, k = BoundaryEquilibrium(gamma=0.5, rate=0.1).double(), 0.0
    for step in range(6):
        # errors of rebuilding real and generated images: in the first steps the generated ones are too easy, then far off
        real, fake = 1 + normal(8, seed=step).abs(), (0.1 if step < 4 else 9) * (1 + normal(8, seed=9).abs())
        assert loss.discriminator(-real, -fake).item() == pytest.approx(real.mean().item() - k * fake.mean().item())
        assert loss.generator(-fake, None).item() == pytest.approx(fake.mean().item())
        k = min(1.0, max(0.0, k + 0.1 * (0.5 * real.mean().item() - fake.mean().item())))
        assert loss.k.item() == pytest.approx(k) and (k > 0 or step > 3)
    again = BoundaryEquilibrium().double()
    again.load_state_dict(BoundaryEquilibrium().double().state_dict() | {"k": torch.tensor(0.25, dtype=torch.float64)})
    assert again.discriminator(-torch.ones(2), -torch.ones(2)).item() == pytest.approx(0.75)
    with pytest.raises(ValueError, match=r"model\.loss: expected gamma in \(0, 1\]"):
        BoundaryEquilibrium(gamma=1.5)


@pytest.mark.parametrize(
    "loss",
    [Wasserstein(), NonSaturating(1.0), DRAGAN(), Relativistic()],
    ids=["wasserstein", "r1", "dragan", "relativistic"],
)
def test_the_penaltys_gradient_reaches_the_critic(loss):
    critic = nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Tanh(), nn.Linear(5, 1)).double()
    penalty = loss.penalty(lambda x: critic(x)[:, 0], normal(4, *SHAPE), normal(4, *SHAPE, seed=1))
    penalty.backward()
    assert all(critic[layer].weight.grad.abs().sum() > 0 for layer in (1, 3))
