"""The variational autoencoder against a linear-Gaussian model, whose posterior and likelihood are known exactly, in float64."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Normal

from genrun.maths.likelihoods import Bernoulli, Gaussian, Likelihood
from genrun.maths.mixtures import ClassMixture
from genrun.methods.vae import VAE, kl_divergence
from genrun.types import Batch

SHAPE, PIXELS, SIZE, CLASSES = (1, 2, 3), 6, 2, 3
DEVIATION = 0.3  # of the pixels given z
# orthogonal columns, so that the posterior has no covariance that q could not have
A = np.linalg.qr(np.random.default_rng(0).normal(size=(PIXELS, PIXELS)))[0] * [0.8, 0.4, 1, 1, 1, 1]
SLOPE, SHIFTS = A[:, :SIZE], 0.5 + 0.2 * A[:, SIZE : SIZE + CLASSES].T  # (6, 2), and (3, 6): a class shifts across them


class Plain(Likelihood):
    """N(x; output, σ²): no tanh."""

    def log_prob(self, images: Tensor, output: Tensor) -> Tensor:
        return Normal(output, DEVIATION).log_prob(images).sum((-3, -2, -1))

    def mean(self, output: Tensor) -> Tensor:
        return output


class Encoder(nn.Sequential):
    """μ = Σ Aᵀ (x - c)/σ², Σ = (1 + AᵀA/σ²)⁻¹, of images on [-1, 1]; `wrong` by so much."""

    def __init__(self, outputs: int, wrong: float) -> None:
        super().__init__(nn.Flatten(), nn.Linear(PIXELS, outputs, dtype=torch.float64))
        variance = 1 / (1 + (SLOPE**2).sum(0) / DEVIATION**2)
        gain = (variance / DEVIATION**2)[:, None] * SLOPE.T
        mean_of_zero = gain @ (0.5 - SHIFTS[0])  # the same for each shift
        with torch.no_grad():
            self[1].weight.copy_(torch.from_numpy(np.concatenate([gain / 2, 0 * gain])))
            self[1].bias.copy_(torch.from_numpy(np.concatenate([mean_of_zero + wrong, np.log(variance) + wrong])))


class Decoder(nn.Linear):
    """A z + c, c of the class where there is one."""

    def __init__(self, inputs: int) -> None:
        super().__init__(inputs, PIXELS, dtype=torch.float64)
        shifts = SHIFTS.T if inputs > SIZE else np.zeros((PIXELS, 0))
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(np.concatenate([SLOPE, shifts], 1)))
            self.bias.copy_(torch.from_numpy(SHIFTS[0] * (inputs == SIZE)))

    def forward(self, codes: Tensor) -> Tensor:
        return super().forward(codes).unflatten(-1, SHAPE)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.01)


def vae(conditional: bool = False, wrong: float = 0.0, **options) -> VAE:
    options = {"likelihood": Plain(), "code_size": SIZE, "schedule": "constant"} | options
    return VAE(
        SHAPE,
        CLASSES,
        lambda _, outputs: Encoder(outputs, wrong),
        lambda inputs, _: Decoder(inputs),
        optimizer=adam,
        conditional=conditional,
        **options,
    )


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 30) -> Tensor:
    return torch.rand(n, *SHAPE, generator=seeded(), dtype=torch.float64)


def exact(x: Tensor, conditional: bool = False) -> np.ndarray:
    """log N(x; c, AAᵀ + σ²), of a conditional model the log of the mean over the classes of it."""
    covariance = SLOPE @ SLOPE.T + DEVIATION**2 * np.eye(PIXELS)
    laws = [stats.multivariate_normal(shift, covariance) for shift in SHIFTS]
    each = [np.atleast_1d(law.logpdf(x.flatten(1).numpy())) for law in laws]
    return np.log(np.mean(np.exp(each), 0)) if conditional else each[0]


# ----------------------------------------------------------------------------------------------------------- the bounds


@pytest.mark.parametrize("conditional", [False, True], ids=["images", "labels"])
@pytest.mark.parametrize("samples", [2, 7, 100])
def test_with_the_exact_posterior_the_weighted_bound_is_the_likelihood_for_each_sample(conditional, samples):
    found = vae(conditional).elbo(images(), samples=samples, generator=seeded())
    np.testing.assert_allclose(found.numpy(), exact(images(), conditional), rtol=1e-9, atol=1e-9)


def test_with_the_exact_posterior_the_mean_of_the_bound_is_the_likelihood():
    x = images(3)
    many = x.repeat_interleave(20_000, 0)
    found = vae().elbo(many, generator=seeded()).view(3, -1)
    error = found.std(1) / 20_000**0.5
    assert ((found.mean(1) - torch.from_numpy(exact(x))).abs() < 4 * error).all() and error.max() < 0.02


@pytest.mark.parametrize("conditional", [False, True], ids=["images", "labels"])
def test_with_another_posterior_more_samples_make_the_bound_tighter(conditional):
    method, x = vae(conditional, wrong=0.5), images(200)
    bounds = [method.elbo(x, samples=k, generator=seeded()).mean().item() for k in (1, 10, 100, 3000)]
    truth = exact(x, conditional).mean()
    assert bounds[0] < bounds[1] - 0.1 < bounds[2] - 0.1 < truth
    assert truth - bounds[2] < (truth - bounds[0]) / 10 and bounds[3] == pytest.approx(truth, abs=0.02)


def test_the_gap_of_the_bound_is_the_divergence_from_the_exact_posterior():
    method = vae(wrong=0.5)
    x = images(1).expand(50_000, *SHAPE)
    bound = method.elbo(x, generator=seeded())
    q, p = (
        Normal(mean[0], (0.5 * log_variance[0]).exp())
        for mean, log_variance in (method.posterior(x[:1]), vae().posterior(x[:1]))
    )
    gap = torch.distributions.kl_divergence(q, p).sum().item()
    assert exact(x[:1])[0] - bound.mean().item() == pytest.approx(gap, rel=0.03)


def test_the_bound_of_a_conditional_model_is_the_log_of_the_mean_over_classes():
    method, x = vae(conditional=True, wrong=0.3), images(5)
    seed = int(torch.zeros((), dtype=torch.long).random_(2**31 - 1, generator=seeded(3)))  # one noise for all classes
    each = torch.stack([method.bound(x, torch.full((5,), label), 4, seeded(seed)) for label in range(CLASSES)])
    expected = each.exp().mean(0).log()
    torch.testing.assert_close(method.elbo(x, samples=4, generator=seeded(3)), expected.detach())


def test_equal_seeds_give_equal_bounds_and_the_global_stream_is_left_alone():
    method, before = vae(wrong=0.3), torch.get_rng_state()
    for samples in (1, 5):
        first, second, other = (method.elbo(images(), samples=samples, generator=seeded(k)) for k in (0, 0, 1))
        assert torch.equal(first, second) and not torch.equal(first, other) and not first.requires_grad
    assert torch.equal(torch.get_rng_state(), before)


# ------------------------------------------------------------------------------------------------------------ the terms


def test_the_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(2, 50, 4, generator=seeded(), dtype=torch.float64)
    expected = torch.distributions.kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_with_a_constant_deviation_the_divergence_is_half_the_squared_code_and_a_constant():
    torch.manual_seed(0)
    method = VAE(
        SHAPE,
        CLASSES,
        lambda _, outputs: nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, outputs, dtype=torch.float64)),
        lambda inputs, _: Decoder(inputs),
        likelihood=Plain(),
        optimizer=adam,
        code_size=SIZE,
        posterior_deviation=0.7,
    )
    mean, log_variance = method.posterior(images(8))
    assert mean.shape == (8, SIZE) and torch.equal(mean, method.encoder(2 * images(8) - 1))
    torch.testing.assert_close(log_variance, torch.full_like(mean, math.log(0.49)))
    expected = 0.5 * mean.square().sum(1) - SIZE / 2 * (1 + math.log(0.49) - 0.49)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)
    with pytest.raises(
        ValueError, match=r"model\.posterior_deviation: expected a finite number above 0, or null, got 0"
    ):
        vae(posterior_deviation=0)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_a_step_descends_31_to_33(beta):
    method, x = vae(beta=beta, likelihood=Gaussian().double(), wrong=0.2), images(8)
    torch.manual_seed(5)
    loss = method.training_step(Batch(x, torch.zeros(8, dtype=torch.long), torch.arange(8)), 0)
    torch.manual_seed(5)
    noise = torch.randn(8, SIZE, dtype=torch.float64)
    h = method.encoder(2 * x - 1)  # (8)
    mean, log_variance = h[:, :SIZE], h[:, SIZE:]
    output = method.decoder(mean + (0.5 * log_variance).exp() * noise)  # (10), (11)
    squares = ((2 * x - 1) - output.tanh()).square().sum() / 8  # (31), of one image
    constant = PIXELS * (0.5 * math.log(2 * math.pi) - 0.5 * math.log(8))
    divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum() / 8  # (32)
    assert method.running_means() == pytest.approx(
        {"reconstruction": (squares + constant).item(), "divergence": divergence.item()}, rel=1e-5
    )
    assert loss.item() == pytest.approx((squares + constant + beta * divergence).item(), rel=1e-5)  # (33)


def test_grey_values_are_drawn_to_0_or_1_for_bernoulli_only():
    for likelihood, drawn in ((Bernoulli(), True), (Plain(), False)):
        method, seen = vae(likelihood=likelihood), []
        method.encoder.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        x = torch.full((4000, *SHAPE), 0.3, dtype=torch.float64)
        method.training_step(Batch(x, torch.zeros(4000, dtype=torch.long), torch.arange(4000)), 0)
        values = set(seen[0].unique().tolist())
        assert values == ({-1.0, 1.0} if drawn else {2 * 0.3 - 1})
        assert seen[0].mean().item() == pytest.approx(-0.4, abs=0.02)


# ------------------------------------------------------------------------------------------------------------ the prior


def clusters(n: int) -> tuple[Tensor, Tensor]:
    """Codes of class 0, 1 or 2 around 5, -5 or 0, each from two Gaussians, a quarter and three quarters of them."""
    labels = torch.arange(n) % CLASSES
    centre = torch.tensor([5.0, -5.0, 0.0])[labels]
    second = torch.rand(n, generator=seeded()) < 0.75
    codes = 0.3 * torch.randn(n, SIZE, generator=seeded(1)) + centre.unsqueeze(1)
    codes[:, 1] += 2.0 * second
    return codes, labels


def drawn_codes(method: VAE, n: int, labels: Tensor | None) -> Tensor:
    """What `sample` decodes."""
    seen: list[Tensor] = []
    method.decode_codes = lambda codes, labels: seen.append(codes)
    method.sample(n, labels, generator=seeded(2))
    return seen[0]


def test_by_default_codes_are_standard_normal():
    method = vae()
    method.refit_prior(*clusters(300))
    codes = drawn_codes(method, 5000, None)
    assert stats.kstest(codes.flatten().numpy(), "norm").pvalue > 0.01


def test_a_fitted_prior_draws_from_the_codes_gaussians():
    method, (codes, labels) = vae(conditional=True, prior=partial(ClassMixture, components=2)), clusters(3000)
    method.refit_prior(codes, labels)
    for label, centre in enumerate((5.0, -5.0, 0.0)):
        drawn = drawn_codes(method, 4000, torch.full((4000,), label))
        second = drawn[:, 1] > centre + 1
        assert second.float().mean().item() == pytest.approx(0.75, abs=0.05)
        torch.testing.assert_close(drawn[second].mean(0), torch.tensor([centre, centre + 2]), rtol=0, atol=0.05)
        torch.testing.assert_close(drawn[~second].mean(0), torch.tensor([centre, centre]), rtol=0, atol=0.05)
        assert drawn[second].std(0).tolist() == pytest.approx([0.3, 0.3], rel=0.1)


def test_an_unconditional_prior_is_of_all_codes():
    method, (codes, labels) = vae(prior=ClassMixture), clusters(3000)
    method.refit_prior(codes, labels)
    drawn = drawn_codes(method, 20_000, None)
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), rtol=0, atol=0.1)
    torch.testing.assert_close(drawn.T.cov(), codes.T.cov(), rtol=0.05, atol=0.3)


# ----------------------------------------------------------------------------------------------------- codes and images


def test_encode_and_decode_are_the_formulas():
    method, x = vae(conditional=True), images(4)
    gain = SLOPE.T / ((SLOPE**2).sum(0)[:, None] + DEVIATION**2)
    codes = method.encode(x)
    np.testing.assert_allclose(codes, (x.flatten(1).numpy() - SHIFTS[0]) @ gain.T, rtol=1e-9, atol=1e-12)
    labels = torch.tensor([2, 0, 1, 1])
    decoded = codes.numpy() @ SLOPE.T + SHIFTS[labels.numpy()]
    np.testing.assert_allclose(method.decode_codes(codes, labels).flatten(1), decoded, rtol=1e-5, atol=1e-6)


def test_a_conditional_model_rebuilds_images_as_of_their_likeliest_class():
    method, codes = vae(conditional=True), torch.randn(30, SIZE, generator=seeded(), dtype=torch.float64)
    labels = torch.arange(30) % CLASSES
    x = (codes @ torch.from_numpy(SLOPE).T + torch.from_numpy(SHIFTS)[labels]).view(-1, *SHAPE)  # without noise
    assert torch.equal(method.reconstruct(x), method.reconstruct(x, labels))


def test_options_out_of_range_are_refused():
    for name, value, least in (("code_size", 0, 1), ("beta", -1.0, 0)):
        with pytest.raises(ValueError, match=rf"model\.{name}: expected at least {least}, got {value}"):
            vae(**{name: value})
