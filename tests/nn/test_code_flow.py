"""The flow as a prior of codes: moments of known distributions, the mixture it starts from, repeatability."""

from __future__ import annotations

import math

import pytest
import torch

from genrun.nn.code_flow import CodeFlow

SMALL = {"components": 2, "width": 128, "blocks": 2, "batch_size": 128, "lr": 0.005, "averaging": 0.98}


def two_clouds(n=4000):
    """Class 0: ±2 along the first axis with deviation ½, N(0, 1) along the second. Class 1: the axes exchanged, moved by (5, 5)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    side = torch.randint(2, (n,), generator=generator) * 4.0 - 2
    codes = torch.randn(n, 2, generator=generator)
    codes[:, 0] = side + codes[:, 0] / 2
    return torch.where(labels.bool().unsqueeze(1), 5 + codes.flip(1), codes), labels


def fitted(**options) -> CodeFlow:
    prior = CodeFlow(2, 2, **SMALL | options)
    prior.fit(*two_clouds())
    return prior


@pytest.fixture(scope="module")
def trained() -> CodeFlow:
    return fitted(passes=12)  # one Gaussian a class: the two modes are the flow's work


def drawn(prior, label, n=5000):
    return prior.sample(torch.full((n,), label), generator=torch.Generator().manual_seed(1))


def kurtosis(values):
    centred = values.double() - values.double().mean()
    return (centred.pow(4).mean() / centred.square().mean().square()).item()


@pytest.mark.parametrize("label", [0, 1])
def test_samples_have_the_moments_of_the_mixture(trained, label):
    """±a with deviation s has the variance a² + s² and the fourth moment a⁴ + 6a²s² + 3s⁴."""
    codes = drawn(trained, label)
    two, one = (codes if label == 0 else codes.flip(1)).T
    variance, fourth = 4 + 0.25, 16 + 6 * 4 * 0.25 + 3 * 0.0625
    assert kurtosis(two) == pytest.approx(fourth / variance**2, abs=0.25)  # 1.23; the Gaussian that it starts from: 3
    assert kurtosis(one) == pytest.approx(3, abs=0.4)
    torch.testing.assert_close(codes.mean(0), torch.full((2,), 5.0 * label), atol=0.12, rtol=0)
    torch.testing.assert_close(
        torch.stack([two, one]).cov(), torch.diag(torch.tensor([variance, 1.0])), atol=0.2, rtol=0
    )


def test_training_repeats_bit_for_bit_and_leaves_the_global_stream(trained):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again = fitted(passes=12)
    assert torch.equal(torch.get_rng_state(), before)
    theirs = trained.state_dict()
    assert theirs and all(torch.equal(tensor, theirs[name]) for name, tensor in again.state_dict().items())
    assert not any(weight.requires_grad for weight in again.parameters())


@pytest.mark.parametrize("components", [2, 6])
def test_without_training_it_is_the_mixture(components):
    prior = fitted(passes=0, components=components)
    labels = torch.arange(50) % 2
    ours, theirs = (p.sample(labels, generator=torch.Generator().manual_seed(2)) for p in (prior, prior.mixture))
    assert prior.mixture.weights.shape == (2, components // 2)
    assert torch.equal(ours, theirs)


def test_a_rough_fit_forgets_the_flow(trained):
    prior = CodeFlow(2, 2, **SMALL)
    prior.load_state_dict(trained.state_dict())
    labels = torch.arange(50) % 2
    assert not torch.equal(*(p.from_noise(torch.ones(50, 2), labels) for p in (prior, prior.mixture)))
    prior.fit_roughly(*two_clouds(100))
    assert torch.equal(*(p.from_noise(torch.ones(50, 2), labels) for p in (prior, prior.mixture)))


def test_a_number_chooses_the_component():
    prior = fitted(passes=1, components=6)
    assert prior.mixes() and prior.not_from_noise() is None
    noise, uniform = torch.randn(3000, 2), torch.rand(3000)
    labels = torch.arange(3000) % 2
    chosen = prior.mixture.component_at(labels, uniform)
    assert torch.equal(prior.from_noise(noise, labels, uniform), prior.placed(noise, labels, chosen))
    for label in (0, 1):
        shares = chosen[labels == label].bincount(minlength=3) / 1500
        torch.testing.assert_close(shares, prior.mixture.weights[label], atol=0.05, rtol=0)


def test_many_steps_give_nearly_the_same_codes(trained):
    """The midpoint rule converges: five steps are close to a hundred."""
    labels, noise = torch.arange(400) % 2, torch.randn(400, 2, generator=torch.Generator().manual_seed(4))
    few = trained.from_noise(noise, labels)
    trained.steps = 100
    many = trained.from_noise(noise, labels)
    trained.steps = 5
    assert 0 < (few - many).norm(dim=1).median() < 0.1


@pytest.mark.parametrize(
    ("option", "value"),
    [("components", 0), ("passes", -1), ("steps", 0), ("lr", math.inf), ("averaging", 1.0), ("width", 0)],
)
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(ValueError, match=rf"model\.prior\.{option}: expected .*, got {value}"):
        CodeFlow(2, 2, **{option: value})


def test_too_few_codes_are_refused():
    with pytest.raises(ValueError, match="at least 3 codes in class 1, there are 2"):
        CodeFlow(2, 2, components=6).check(torch.tensor([0, 0, 0, 1, 1]))
