"""A prior that is a VAE: its bound where the density is known, and what it learns of codes that are not Gaussian."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from genrun.nn.vae_prior import VAEPrior

SIZE, GAMMA = 3, 0.5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear_model() -> tuple[VAEPrior, np.ndarray, np.ndarray]:
    """A prior whose networks are linear: z = A u + b + γ ε, and q(u | z) is the posterior; also A and b."""
    prior = VAEPrior(1, SIZE, width=4, depth=1).double()
    slope = np.linalg.qr(np.random.default_rng(0).normal(size=(SIZE, SIZE)))[0] * [0.8, 0.4, 1.5]
    shift = np.array([0.3, -1.0, 2.0])
    variance = 1 / (1 + (slope**2).sum(0) / GAMMA**2)  # A has orthogonal columns: so the posterior has no covariance
    gain = (variance / GAMMA**2)[:, None] * slope.T
    with torch.no_grad():
        for last in (prior.encoder.last, prior.decoder.last):
            last.weight.zero_()
        prior.decoder.last.weight[:, :SIZE] = torch.from_numpy(slope)
        prior.decoder.last.bias.copy_(torch.from_numpy(shift))
        prior.encoder.last.weight[:SIZE, :SIZE] = torch.from_numpy(gain)
        prior.encoder.last.bias.copy_(torch.from_numpy(np.concatenate([-gain @ shift, np.log(variance)])))
        prior.log_gamma.fill_(np.log(GAMMA))
        prior.fitted.fill_(True)
    return prior, slope, shift


def test_with_the_exact_posterior_the_bound_is_the_density():
    prior, slope, shift = linear_model()
    codes = torch.randn(2, SIZE, generator=seeded(), dtype=torch.float64)
    exact = stats.multivariate_normal(shift, slope @ slope.T + GAMMA**2 * np.eye(SIZE)).logpdf(codes.numpy())
    many = codes.repeat(40_000, 1)
    bounds = prior.bound(many, torch.zeros(len(many), dtype=torch.long), seeded(1)).view(-1, 2)
    assert bounds.mean(0).numpy() == pytest.approx(exact, abs=4 * bounds.std(0).max().item() / 200)


def test_samples_have_the_models_mean_and_covariance_in_the_codes_units():
    prior, slope, shift = linear_model()
    prior.mean.copy_(torch.tensor([10.0, 0.0, 0.0]))
    prior.scale.fill_(2.0)
    drawn = prior.sample(torch.zeros(40_000, dtype=torch.long), generator=seeded(3)).numpy()
    np.testing.assert_allclose(drawn.mean(0), [10, 0, 0] + 2 * shift, atol=0.06)
    np.testing.assert_allclose(np.cov(drawn.T), 4 * (slope @ slope.T + GAMMA**2 * np.eye(SIZE)), atol=0.2)


def crosses() -> tuple[Tensor, Tensor]:
    """Codes at (5 ± 3, 5) of class 0, and at (5, 5 ± 3) of class 1."""
    labels = torch.arange(800) % 2
    sign = 1 - 2 * (torch.arange(800) // 2 % 2)
    place = torch.stack([3 * sign * (1 - labels), 3 * sign * labels], 1)
    return 5 + place + 0.3 * torch.randn(800, 2, generator=seeded()), labels


def test_it_learns_codes_that_are_not_gaussian_class_by_class():
    codes, labels = crosses()
    prior = VAEPrior(2, 2, width=32, depth=2, epochs=40, batch_size=50, lr=0.005)
    before = torch.get_rng_state()
    asked = torch.arange(600) % 2
    rough = prior.sample(asked, generator=seeded(2))
    assert abs(rough.mean()) < 0.2 and abs(rough.std() - 1) < 0.1  # nothing is known yet
    prior.fit(codes, labels)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(weight.requires_grad for weight in prior.parameters())  # the method's own training leaves it alone
    drawn = prior.sample(asked, generator=seeded(2)) - 5
    for label in (0, 1):
        along, across = drawn[asked == label, label], drawn[asked == label, 1 - label]
        # of the Gaussian with the variance of these codes, 0.32 lie there
        assert ((along.abs() - 3).abs() < 1).float().mean() > 0.65
        assert 0.4 < (along > 0).float().mean() < 0.6 and across.std() < 0.6

    other = VAEPrior(2, 2, width=32, depth=2)
    other.load_state_dict(prior.state_dict())
    assert torch.equal(other.sample(asked, generator=seeded(4)), prior.sample(asked, generator=seeded(4)))


def test_building_draws_nothing_and_a_second_fit_starts_anew():
    codes, labels = crosses()
    before = torch.get_rng_state()
    prior = VAEPrior(2, 2, width=8, depth=2, epochs=2)
    assert torch.equal(torch.get_rng_state(), before)
    prior.fit(codes, labels)
    first = {name: tensor.clone() for name, tensor in prior.state_dict().items()}
    assert prior.encoder.hidden[0].weight.std() > 0.1 and prior.log_gamma != 0
    prior.fit(codes + 1, labels)
    assert not torch.equal(prior.mean, first["mean"])
    prior.fit(codes, labels)
    assert all(torch.equal(tensor, first[name]) for name, tensor in prior.state_dict().items())


def test_a_rough_fit_after_a_fit_is_one_gaussian_again():
    codes, labels = crosses()
    prior, asked = VAEPrior(1, 2, width=4, depth=1, epochs=1), torch.zeros(5, dtype=torch.long)
    prior.fit_roughly(codes, labels)
    rough = prior.sample(asked, generator=seeded())
    prior.fit(codes, 0 * labels)
    assert not torch.equal(prior.sample(asked, generator=seeded()), rough)
    prior.fit_roughly(codes, labels)
    assert torch.equal(prior.sample(asked, generator=seeded()), rough)


def test_a_rough_fit_is_one_gaussian_and_options_out_of_range_are_refused():
    codes, labels = crosses()
    prior = VAEPrior(1, 2, width=4, depth=1)
    prior.fit_roughly(codes, labels)
    drawn = prior.sample(torch.zeros(20_000, dtype=torch.long), generator=seeded())
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), atol=0.1, rtol=0)
    assert drawn.var(0).mean().item() == pytest.approx(codes.var(0).mean().item(), rel=0.05)
    with pytest.raises(ValueError, match=r"model\.prior\.epochs: expected at least 1, got 0"):
        VAEPrior(1, 2, epochs=0)
    with pytest.raises(ValueError, match=r"model\.prior\.lr: expected a finite number above 0, got 0"):
        VAEPrior(1, 2, lr=0)
    with pytest.raises(ValueError, match="codes must be finite"):
        prior.fit(torch.full((4, 2), float("nan")), torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match="at least 2 codes, got 1"):
        prior.fit(codes[:1], labels[:1])
