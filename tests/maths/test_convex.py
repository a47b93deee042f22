"""Combinations of codes: their weights, their spread, and Lemma 1."""

from __future__ import annotations

import pytest
import torch

from genrun.maths.convex import ConvexCombinations


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fitted(codes, labels, classes=2, **options):
    prior = ConvexCombinations(classes, codes.shape[1], **options).to(codes.dtype)
    prior.fit(codes, labels)
    return prior


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("weights", ["uniform", "dirichlet", [0.7, 0.3, 0.0]])
def test_lemma_1(seed, weights):
    """What a linear classifier assigns to a class, it assigns any convex combination of to the class, on random classifiers."""
    classes, size = 4, 6
    codes = torch.randn(4000, size, generator=seeded(seed), dtype=torch.float64)
    w, b = (
        torch.randn(classes, size, generator=seeded(seed + 100), dtype=torch.float64),
        0.3 * torch.randn(classes, generator=seeded(seed + 200), dtype=torch.float64),
    )
    labels = (codes @ w.T + b).argmax(1)
    assert labels.bincount(minlength=classes).min() >= 3
    options = {"concentration": 0.3} if weights == "dirichlet" else {}
    prior = fitted(codes, labels, classes, n=3, weights=weights, spread="averaged", **options)
    asked = torch.arange(1000) % classes
    drawn = prior.sample(asked, generator=seeded(seed))
    assert torch.equal((drawn @ w.T + b).argmax(1), asked)


def test_a_uniform_combination_is_the_mean_of_different_codes_of_the_class():
    codes = torch.eye(8, dtype=torch.float64)  # a combination shows its weights
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    prior = fitted(codes, labels, n=3, spread="averaged")
    drawn = prior.sample(torch.tensor([0] * 50 + [1] * 50), generator=seeded())
    assert ((drawn > 0).sum(1) == 3).all()
    torch.testing.assert_close(drawn.amax(1), torch.full((100,), 1 / 3, dtype=torch.float64))
    assert not drawn[:50, 4:].any() and not drawn[50:, :4].any()
    assert len(drawn[:50].unique(dim=0)) == 4  # all combinations occur
    with_five = prior.combine(torch.zeros(9, dtype=torch.int64), 4, generator=seeded())
    torch.testing.assert_close(with_five[:, :4], torch.full((9, 4), 0.25, dtype=torch.float64))


@pytest.mark.parametrize(("n", "weights"), [(2, "uniform"), (5, "uniform"), (3, "dirichlet"), (2, [0.9, 0.1])])
def test_the_spread_is_kept_or_shrinks_by_the_squared_weights(n, weights):
    mean, covariance = torch.tensor([3.0, -1.0], dtype=torch.float64), torch.tensor([[2.0, 0.5], [0.5, 1.0]]).double()
    codes = mean + torch.randn(4000, 2, generator=seeded(), dtype=torch.float64) @ torch.linalg.cholesky(covariance).T
    prior = fitted(codes, torch.zeros(4000, dtype=torch.int64), 1, n=n, weights=weights, sources=4000)
    asked = torch.zeros(15_000, dtype=torch.int64)
    kept = prior.combine(asked, generator=seeded(1))
    torch.testing.assert_close(kept.mean(0), mean, rtol=0, atol=0.06)
    torch.testing.assert_close(kept.T.cov(), codes.T.cov(), rtol=0.04, atol=0.04)
    averaged = prior.combine(asked, spread="averaged", generator=seeded(1))
    theta = prior.draw_weights(15_000, seeded(1))
    share = theta.square().sum(1).mean()
    torch.testing.assert_close(averaged.T.cov(), share * codes.T.cov(), rtol=0.05, atol=0.04)
    torch.testing.assert_close(theta.sum(1), torch.ones(15_000, dtype=torch.float64))


@pytest.mark.parametrize("concentration", [2.0, 0.5, 0.02, 0.001])
def test_dirichlet_weights_have_the_distributions_moments(concentration):
    prior = ConvexCombinations(1, 2, n=3, weights="dirichlet", concentration=concentration)
    theta = prior.draw_weights(200_000, seeded()).double()
    torch.testing.assert_close(theta.mean(0), torch.full((3,), 1 / 3).double(), rtol=0, atol=0.004)
    variance = 2 / 9 / (3 * concentration + 1)  # (1/n)(1 - 1/n) / (n α + 1)
    torch.testing.assert_close(theta.var(0), torch.full((3,), variance).double(), rtol=0.02, atol=0)


def test_sources_are_spread_over_the_class():
    codes = torch.arange(100.0)[:, None]
    prior = fitted(codes, torch.zeros(100, dtype=torch.int64), 1, sources=4)
    assert prior.codes[0, :, 0].tolist() == [0, 33, 66, 99] and prior.counts.tolist() == [4]
    assert prior.means.item() == pytest.approx(49.5)  # of all codes


def test_a_class_with_fewer_sources_uses_its_own_only():
    codes = torch.tensor([[1.0], [1.0], [2.0], [2.0], [2.0], [2.0]])
    prior = fitted(codes, torch.tensor([0, 0, 1, 1, 1, 1]), spread="averaged")
    assert prior.sample(torch.tensor([0] * 20 + [1] * 20), generator=seeded()).flatten().tolist() == [1] * 20 + [2] * 20


def test_draws_repeat_and_leave_the_global_stream_alone():
    prior = fitted(torch.randn(30, 3, generator=seeded()), torch.arange(30) % 2, weights="dirichlet")
    before = torch.get_rng_state()
    asked = torch.tensor([0, 1, 1])
    assert torch.equal(prior.sample(asked, generator=seeded(4)), prior.sample(asked, generator=seeded(4)))
    assert torch.equal(torch.get_rng_state(), before)
    assert prior.sample(asked[:0], generator=seeded()).shape == (0, 3)


def test_saved_sources_are_drawn_from_again():
    prior = fitted(torch.randn(30, 3, generator=seeded()), torch.arange(30) % 2)
    other = ConvexCombinations(2, 3)
    assert other.codes.numel() == 0  # nothing is stored before it is fitted, and codes are standard normal
    drawn = other.sample(torch.zeros(20_000, dtype=torch.int64), generator=seeded())
    torch.testing.assert_close(drawn.T.cov(), torch.eye(3), rtol=0, atol=0.03)
    other.load_state_dict(prior.state_dict())
    asked = torch.tensor([0, 1, 1])
    assert torch.equal(prior.sample(asked, generator=seeded(4)), other.sample(asked, generator=seeded(4)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n": 1}, r"model\.prior\.n: expected at least 2 codes in a combination, got 1"),
        ({"n": 5, "sources": 4}, r"model\.prior\.sources: expected at least n = 5, got 4"),
        ({"concentration": 0.0}, r"model\.prior\.concentration: expected a finite number above 0"),
        ({"weights": [1.0]}, r"model\.prior\.weights: expected uniform, dirichlet or 2 numbers"),
        ({"weights": [1.5, -0.5]}, r"model\.prior\.weights"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        ConvexCombinations(2, 3, **options)


def test_a_concentration_that_does_nothing_is_refused_in_a_new_run():
    ConvexCombinations(2, 3, weights="dirichlet", concentration=0.3).check_options()
    with pytest.raises(ValueError, match=r"concentration=0\.3 needs model\.prior\.weights=dirichlet, got uniform"):
        ConvexCombinations(2, 3, concentration=0.3).check_options()


def test_too_few_codes_or_codes_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="combinations of 3 codes need as many in class 1, there are 2"):
        fitted(torch.randn(7, 3), torch.tensor([0] * 5 + [1] * 2), n=3)
    with pytest.raises(ValueError, match="codes must be finite"):
        fitted(torch.full((4, 3), torch.nan), torch.tensor([0, 0, 1, 1]))
    prior = fitted(torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 1, 1]))
    with pytest.raises(ValueError, match="a combination of 5 codes of class 1: it has 3"):
        prior.combine(torch.tensor([1]), 5)
