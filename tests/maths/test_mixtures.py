"""Priors of codes against numpy, scipy and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest, multivariate_normal
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_info

from genrun.maths import mixtures
from genrun.maths.mixtures import ClassMixture, StandardNormal

KINDS = {"full": "full", "tied": "tied", "diagonal": "diag"}


def codes_and_labels(n=900, classes=2):
    """Codes of each class from two Gaussians of their own, a third and two thirds of them; float64."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    second = torch.rand(n, generator=generator) < 2 / 3
    codes = torch.randn(n, 3, generator=generator).double() @ torch.randn(3, 3, generator=generator).double()
    codes[:, 0] += 20 * labels
    codes[:, 1] += 12 * second
    return codes, labels


def fitted(codes, labels, **options) -> ClassMixture:
    mixture = ClassMixture(int(labels.max()) + 1, codes.shape[1], **options).double()
    mixture.fit(codes, labels)
    return mixture


def drawn(mixture, label, n=40_000):
    return mixture.sample(torch.full((n,), label), generator=torch.Generator().manual_seed(1))


def reference(codes, components, kind, reg):
    """scikit-learn's own, one after another."""
    return GaussianMixture(components, covariance_type=KINDS[kind], reg_covar=reg, random_state=0).fit(codes.numpy())


# --------------------------------------------------------------------------------------------------------- one Gaussian


@pytest.mark.parametrize("kind", KINDS)
def test_one_component_is_the_sample_mean_and_covariance(kind):
    codes, labels = codes_and_labels()
    mixture = fitted(codes, labels, covariance=kind, reg_covar=1e-3)
    for label in (0, 1):
        mine = codes[labels == label].numpy()
        covariance = np.cov(mine.T) + 1e-3 * mine.var(0, ddof=1).mean() * np.eye(3)
        if kind == "diagonal":
            covariance = np.diag(np.diag(covariance))
        np.testing.assert_allclose(mixture.means[label, 0], mine.mean(0), rtol=1e-12)
        truth = multivariate_normal(mine.mean(0), covariance).logpdf(codes.numpy())
        np.testing.assert_allclose(mixture.log_prob(codes, torch.full_like(labels, label)), truth, rtol=1e-10)
        sample = drawn(mixture, label)
        np.testing.assert_allclose(sample.mean(0), mine.mean(0), atol=0.1)
        np.testing.assert_allclose(np.cov(sample.T), covariance, rtol=0.05, atol=0.2)


def test_one_component_is_a_mixture_of_one():
    """The single Gaussian divides by N - 1, scikit-learn by N."""
    codes, labels = codes_and_labels()
    mixture = fitted(codes, labels, relative=False, reg_covar=0.0)
    for label in (0, 1):
        mine = codes[labels == label]
        truth = reference(mine, 1, "full", 0.0)
        ours = mixture.factors[label, 0] @ mixture.factors[label, 0].T
        np.testing.assert_allclose(ours * (len(mine) - 1) / len(mine), truth.covariances_[0], rtol=1e-9)
        np.testing.assert_allclose(mixture.means[label], truth.means_, rtol=1e-12)


@pytest.mark.parametrize("components", [1, 2])
def test_the_scale_is_of_the_covariance(components):
    codes, labels = codes_and_labels()
    whole, quarter = (fitted(codes, labels, components=components, covariance_scale=s) for s in (1.0, 0.25))
    centre = whole.means[1].gather(0, drawn_component(whole, 1).unsqueeze(1).expand(-1, 3))
    torch.testing.assert_close(drawn(quarter, 1) - centre, 0.5 * (drawn(whole, 1) - centre))
    for mixture, scale in ((whole, 1.0), (quarter, 0.25)):
        laws = [
            multivariate_normal(mean, scale * (factor @ factor.T))
            for mean, factor in zip(mixture.means[1].numpy(), mixture.factors[1].numpy(), strict=True)
        ]
        truth = np.log(sum(w * law.pdf(codes[1::2]) for w, law in zip(mixture.weights[1].tolist(), laws, strict=True)))
        np.testing.assert_allclose(mixture.log_prob(codes[1::2], labels[1::2]), truth, rtol=1e-9)


def drawn_component(mixture, label, n=40_000):
    """The component of each code that `drawn` gives."""
    generator = torch.Generator().manual_seed(1)
    torch.randn(n, 3, generator=generator, dtype=torch.float64)
    if mixture.weights.shape[1] == 1:
        return torch.zeros(n, dtype=torch.long)
    return torch.multinomial(mixture.weights[label].expand(n, -1), 1, generator=generator).squeeze(1)


# ------------------------------------------------------------------------------------------------------------- mixtures


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_is_scikit_learns(kind):
    codes, labels = codes_and_labels(classes=3)
    mixture = fitted(codes, labels, components=4, covariance=kind, reg_covar=1e-2)
    for label in range(3):
        mine = codes[labels == label]
        truth = reference(mine, 4, kind, 1e-2 * mine.var(0).mean().item())
        ours = mixture.log_prob(codes, torch.full_like(labels, label))
        np.testing.assert_allclose(ours, truth.score_samples(codes.numpy()), rtol=1e-6)
        np.testing.assert_allclose(mixture.weights[label], truth.weights_, rtol=1e-6)


def test_an_absolute_regularisation_is_scikit_learns_own():
    codes, labels = codes_and_labels(classes=1)
    mixture = fitted(codes, labels, components=3, reg_covar=1e-6, relative=False)
    truth = GaussianMixture(3, random_state=0).fit(codes.numpy())
    np.testing.assert_allclose(mixture.log_prob(codes, labels), truth.score_samples(codes.numpy()), rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_a_mixture_have_its_moments(kind):
    codes, labels = codes_and_labels()
    sample = drawn(fitted(codes, labels, components=3, covariance=kind, reg_covar=1e-6, relative=False), 1)
    truth = reference(codes[labels == 1], 3, kind, 1e-6)
    covariances = {"full": lambda c: c, "tied": lambda c: c[None], "diagonal": lambda c: c[:, :, None] * np.eye(3)}
    mean = truth.weights_ @ truth.means_
    apart = truth.means_ - mean
    covariance = np.einsum("k,kij->ij", truth.weights_, covariances[kind](truth.covariances_) + np.zeros((3, 3, 3)))
    covariance += (truth.weights_[:, None] * apart).T @ apart
    np.testing.assert_allclose(sample.mean(0), mean, atol=0.1)
    np.testing.assert_allclose(sample.T.cov(), covariance, rtol=0.05, atol=0.15)


def test_the_number_of_cores_does_not_matter(monkeypatch):
    codes, labels = codes_and_labels(classes=3)
    several = fitted(codes, labels, components=5)
    monkeypatch.setattr(mixtures, "cpu_count", lambda: 1)
    one = fitted(codes, labels, components=5)
    assert all(torch.equal(a, b) for a, b in zip(several.buffers(), one.buffers(), strict=True))


def test_the_number_of_components_is_chosen_by_held_out_codes():
    """Class 0 is one Gaussian; class 1 is three, far apart."""
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(600, 2, generator=generator)
    three = torch.randn(600, 2, generator=generator) + 30 * torch.eye(3)[torch.arange(600) % 3][:, :2]
    mixture = fitted(torch.cat([one, three]).double(), torch.arange(1200) // 600, components=[1, 3, 60])
    assert (mixture.weights > 0).sum(1).tolist() == [1, 3]
    sample = drawn(mixture, 0, 5000)
    assert sample.abs().max() < 6  # nothing is drawn from components that are not used
    assert mixture.log_prob(one.double(), torch.zeros(600, dtype=torch.long)).isfinite().all()


def test_the_classes_are_watched_as_they_are_done():
    codes, labels = codes_and_labels(classes=3)
    seen = []

    def progress(parts, n):
        assert n == 3
        for part in parts:
            seen.append(part)
            yield part

    ClassMixture(3, 3, components=2).fit(codes, labels, progress=progress)
    assert len(seen) == 3


def test_saved_and_loaded_it_draws_the_same_bit_for_bit():
    codes, labels = codes_and_labels()
    for options in ({"components": 7}, {"components": [1, 4], "covariance": "tied"}, {"covariance": "diagonal"}):
        mixture = fitted(codes, labels, **options)
        other = ClassMixture(2, 3, **options).double()
        other.load_state_dict(mixture.state_dict())
        assert torch.equal(drawn(mixture, 1), drawn(other, 1))
        assert torch.equal(mixture.log_prob(codes, labels), other.log_prob(codes, labels))


# ---------------------------------------------------------------------------------------------- standard normal, errors


def test_the_standard_normal_is_that():
    prior = StandardNormal(2, 3).double()
    prior.fit(*codes_and_labels())
    sample = drawn(prior, 1, 5000)
    assert kstest(sample.flatten().numpy(), "norm").pvalue > 0.01
    truth = multivariate_normal(np.zeros(3)).logpdf(sample.numpy())
    np.testing.assert_allclose(prior.log_prob(sample, torch.ones(5000)), truth, rtol=1e-12)
    assert not prior.state_dict()


def test_too_few_codes_are_refused():
    codes, labels = codes_and_labels()
    with pytest.raises(ValueError, match="at least 2 codes in class 2, there are 0"):
        ClassMixture(3, 3).fit(codes, labels)
    with pytest.raises(ValueError, match=r"at least 451 codes in class 0, there are 450.*model\.prior\.components"):
        ClassMixture(2, 3, components=451).check(labels)
    ClassMixture(2, 3, components=450).check(labels)
    with pytest.raises(ValueError, match="at least 10 codes in class 0, there are 4"):  # one at least is held out
        ClassMixture(2, 3, components=[1, 2]).check(labels[:8])
    with pytest.raises(ValueError, match="at least 451 codes in class 0"):  # a tenth is held out
        ClassMixture(2, 3, components=[1, 405]).check(labels[:901])
    ClassMixture(2, 3, components=[1, 404]).check(labels)


def test_options_out_of_range_are_refused():
    for components in (0, -1, [], [5, 0]):
        with pytest.raises(ValueError, match=r"model\.prior\.components: expected at least 1, got"):
            ClassMixture(2, 3, components=components)
    for name, value in (("covariance_scale", 0.0), ("covariance_scale", math.inf), ("reg_covar", -1e-9)):
        with pytest.raises(ValueError, match=rf"model\.prior\.{name}: expected a finite number"):
            ClassMixture(2, 3, **{name: value})


def test_what_was_fitted_before_leaves_no_trace():
    codes, labels = codes_and_labels()
    once, twice = (ClassMixture(2, 3, components=[1, 4]).double() for _ in range(2))
    twice.fit(5 * codes.flip(0), labels)
    for mixture in (once, twice):
        mixture.fit(codes, labels)
    assert all(torch.equal(a, b) for a, b in zip(once.buffers(), twice.buffers(), strict=True))


def test_every_class_is_fitted_on_one_thread(monkeypatch):
    seen = []

    def em(*arguments):
        seen.append({pool["user_api"]: pool["num_threads"] for pool in threadpool_info()})
        return fit(*arguments)

    fit = mixtures.em
    monkeypatch.setattr(mixtures, "em", em)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fitted(*codes_and_labels(), components=2)
    finally:
        torch.set_num_threads(threads)
    assert seen and all(set(pools.values()) == {1} for pools in seen)


def test_codes_that_are_all_one_have_a_prior():
    labels = torch.arange(20) % 2
    mixture = fitted(torch.ones(20, 3).double(), labels)
    torch.testing.assert_close(drawn(mixture, 0, 5), torch.ones(5, 3).double(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["full", "diagonal"])
@pytest.mark.parametrize("components", [1, 3, [1, 3]])
def test_a_singular_covariance_is_told(components, kind):
    codes, labels = codes_and_labels()
    codes[:, 2] = 1.0
    with pytest.raises(ValueError, match=r"a covariance of class [01] is singular: raise model\.prior\.reg_covar \(0"):
        fitted(codes, labels, components=components, covariance=kind, reg_covar=0.0, relative=False)


def test_codes_that_are_not_finite_are_refused():
    codes, labels = codes_and_labels()
    codes[3, 1] = math.nan
    with pytest.raises(ValueError, match="codes must be finite"):
        fitted(codes, labels)


@pytest.mark.parametrize("covariance", ["full", "tied", "diagonal"])
def test_codes_from_given_noise_have_the_distribution_of_samples(covariance):
    prior = ClassMixture(2, 3, components=4, covariance=covariance, covariance_scale=0.5)
    prior.weights[0] = torch.tensor([0.5, 0.25, 0.25, 0])  # a class with fewer components
    prior.means.normal_(generator=torch.Generator().manual_seed(0)).mul_(10)
    prior.factors *= 0.01
    n, generator = 4000, torch.Generator().manual_seed(1)
    labels = torch.arange(n) % 2
    uniform = (torch.arange(n) // 2) * (2 / n)  # evenly over [0, 1), for each class
    codes = prior.from_noise(torch.randn(n, 3, generator=generator), labels, uniform)
    for label in (0, 1):
        nearest = torch.cdist(codes[labels == label], prior.means[label]).argmin(1)
        shares = nearest.bincount(minlength=4) / (n / 2)
        torch.testing.assert_close(shares, prior.weights[label], atol=1e-3, rtol=0)
        spread = (codes[labels == label] - prior.means[label, nearest]).std()
        assert spread.item() == pytest.approx(0.01 * 0.5**0.5, rel=0.05)
    almost_one = torch.full((1,), 1 - 2**-24)
    last = prior.from_noise(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long), almost_one)
    torch.testing.assert_close(last[0], prior.means[0, 2])  # not the component without weight


@pytest.mark.parametrize("covariance", ["full", "tied"])
@pytest.mark.parametrize("n", [1, 2, 40])
def test_samples_of_long_codes_are_those_that_copied_factors_would_give(covariance, n, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    mixture = ClassMixture(3, 300, components=2, covariance=covariance)
    mixture.factors.copy_(torch.randn(mixture.factors.shape, generator=generator).tril())
    mixture.means.copy_(torch.randn(mixture.means.shape, generator=generator))
    noise, labels = torch.randn(n, 300, generator=generator), torch.randint(3, (n,), generator=generator)
    labels[0] = 0  # among 40 there is a component with one sample
    component = torch.randint(2, (n,), generator=generator)
    component[labels == 0] = (torch.arange(int((labels == 0).sum())) == 0).long()
    copied, multiply = [], mixtures.products
    own = mixture.factors.untyped_storage().data_ptr()
    is_copy = lambda f: f.untyped_storage().data_ptr() != own  # noqa: E731
    monkeypatch.setattr(mixtures, "products", lambda f, x: copied.append(is_copy(f)) or multiply(f, x))
    without_copies = mixture.placed(noise, labels, component)
    assert copied and not any(copied)
    monkeypatch.setattr(mixtures, "LARGE", 301)
    assert torch.equal(without_copies, mixture.placed(noise, labels, component)) and copied[-1]
