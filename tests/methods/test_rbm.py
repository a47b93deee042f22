"""A restricted Boltzmann machine of 6 visible and 4 hidden units against the enumeration of its 1,024 states, in float64."""

from __future__ import annotations

import itertools
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from genrun.maths.random_numbers import bernoulli
from genrun.methods.rbm import RBM
from genrun.types import Batch

PIXELS, HIDDEN, CLASSES = 6, 4, 3
IMAGES = np.array(list(itertools.product([0.0, 1.0], repeat=PIXELS)))  # (64, 6)
STATES_H = np.array(list(itertools.product([0.0, 1.0], repeat=HIDDEN)))  # (16, 4)
LABELLED = np.array([[*v, *unit] for v in IMAGES for unit in np.eye(CLASSES)])  # (192, 9)
both_kinds = pytest.mark.parametrize("conditional", [False, True], ids=["images", "labels"])


def sgd(groups):
    return torch.optim.SGD(groups, lr=0.1)


def rbm(conditional: bool = False, seed: int = 0, **options) -> RBM:
    """Parameters and base rates of standard deviation 1."""
    torch.manual_seed(seed)
    options = {
        "hidden": HIDDEN,
        "chains": 10,
        "ais_chains": 200,
        "ais_temperatures": 300,
        "start": "tempered",
    } | options
    method = RBM((1, 2, 3), CLASSES, sgd, conditional, **options).double()
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.normal_()
    method.base[:PIXELS].normal_()
    return method


def states_of(method: RBM) -> np.ndarray:
    """Every state of the visible units."""
    return LABELLED if method.num_classes else IMAGES


def log_joint(method: RBM, beta: float = 1.0) -> np.ndarray:
    """(1-β) bᵀv - β E(v, h) for every v and h, by (3) term for term: (states, 16)."""
    W, b_v, b_h, base = (tensor.detach().numpy() for tensor in (method.W, method.b_v, method.b_h, method.base))
    table = np.empty((len(states_of(method)), len(STATES_H)))
    for a, v in enumerate(states_of(method)):
        for b, h in enumerate(STATES_H):
            energy = -sum(v[i] * W[i, j] * h[j] for i in range(len(v)) for j in range(HIDDEN)) - b_v @ v - b_h @ h
            table[a, b] = (1 - beta) * base @ v - beta * energy
    return table


def log_sum(terms: np.ndarray, axis=None) -> np.ndarray:
    return np.log(np.exp(terms).sum(axis))


def exact(method: RBM) -> np.ndarray:
    """P(v) of every state."""
    log_p = log_sum(log_joint(method), 1)
    return np.exp(log_p - log_sum(log_p))


def rows(probabilities: np.ndarray, states: np.ndarray, n: int) -> Tensor:
    """About n rows in which each state occurs as often as its probability says, to the nearest whole number."""
    counts = torch.from_numpy(np.round(n * probabilities)).long()
    return torch.from_numpy(states).repeat_interleave(counts, 0)


def frequencies(v: Tensor, states: np.ndarray) -> np.ndarray:
    """How often each state occurs among the rows of v."""
    return np.array([(v == torch.from_numpy(state)).all(1).double().mean().item() for state in states])


# ----------------------------------------------------------------------------------------------------- the distribution


@both_kinds
def test_the_free_energy_is_minus_the_log_of_the_sum_over_hidden_states(conditional):
    method = rbm(conditional)
    found = method.free_energy(torch.from_numpy(states_of(method))).detach().numpy()
    np.testing.assert_allclose(found, -log_sum(log_joint(method), 1), rtol=1e-12, atol=1e-12)


@both_kinds
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_conditionals_are_those_of_the_joint_distribution(conditional, beta):
    method = rbm(conditional)
    joint = np.exp(log_joint(method, beta))
    given_v = joint / joint.sum(1, keepdims=True) @ STATES_H
    given_h = (joint / joint.sum(0)).T @ states_of(method)
    with torch.no_grad():
        h = method.means_h(torch.from_numpy(states_of(method)), beta)
        v = method.means_v(torch.from_numpy(STATES_H), beta)
    np.testing.assert_allclose(h.numpy(), given_v, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(v.numpy(), given_h, rtol=1e-10, atol=1e-12)


@both_kinds
def test_a_gibbs_step_leaves_the_exact_distribution_as_it_is(conditional):
    method, probabilities = rbm(conditional), exact(rbm(conditional))
    start = rows(probabilities, states_of(method), 100_000)
    with torch.no_grad():
        ((means, v),) = method.gibbs(start, [1.0], generator=torch.Generator().manual_seed(0))
    assert abs(frequencies(v, states_of(method)) - probabilities).max() < 5e-3  # four standard errors
    np.testing.assert_allclose(means.mean(0).numpy(), probabilities @ states_of(method), atol=5e-3)


@both_kinds
def test_log_probabilities_of_all_images_sum_to_one(conditional):
    method = rbm(conditional)
    method.log_z.copy_(torch.tensor([log_sum(log_joint(method)), 0.0]))
    log_p = method.log_prob(torch.from_numpy(IMAGES).view(64, 1, 2, 3)).numpy()
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-12)
    summed = exact(method).reshape(64, -1).sum(1)  # over the labels, where there are any
    np.testing.assert_allclose(np.exp(log_p), summed, rtol=1e-10)


# ---------------------------------------------------------------------------------------------------------------- log Z


@both_kinds
def test_log_z_is_that_of_enumeration(conditional):
    method = rbm(conditional)
    truth = log_sum(log_joint(method))
    assert method.diagnose() == {}  # no likelihood has asked for it
    before = torch.get_rng_state()
    method.estimate_log_z()
    assert torch.equal(torch.get_rng_state(), before)
    found, error = method.log_z.tolist()
    assert found == pytest.approx(truth, rel=0.01)
    assert abs(found - truth) < 4 * error and 0 < error < 0.05
    assert method.diagnose() == {"log Z, nats": found, "log Z, standard error": error}


def test_the_standard_error_of_log_z_is_about_the_error():
    """From twenty base rates, each of which makes its own path to the same model, on few temperatures."""
    method = rbm(ais_temperatures=15, ais_chains=200)
    truth, scores = log_sum(log_joint(method)), []
    for seed in range(20):
        method.base.normal_(generator=torch.Generator().manual_seed(seed))
        method.estimate_log_z()
        found, error = method.log_z.tolist()
        scores.append((found - truth) / error)
    assert 0.5 < np.std(scores) < 2 and abs(np.mean(scores)) < 1


def test_log_prob_estimates_log_z_when_nobody_has():
    method = rbm(ais_temperatures=30)
    image = torch.zeros(1, 1, 2, 3, dtype=torch.float64)
    assert method.log_z.isnan().all()
    assert method.log_prob(image).item() == pytest.approx(np.log(exact(method)[0]), abs=0.3)
    assert method.log_z.isfinite().all()


# --------------------------------------------------------------------------------------------------------- the gradient


def negative_log_likelihood(parameters: list[Tensor], data: Tensor, states: np.ndarray) -> Tensor:
    """Mean of -log P(v), by the enumerated log Z, in torch for its gradient."""
    W, b_v, b_h = parameters
    h = torch.from_numpy(STATES_H)

    def log_p(v: Tensor) -> Tensor:
        return ((v @ W + b_h) @ h.T + (v @ b_v).unsqueeze(1)).logsumexp(1)

    return log_p(torch.from_numpy(states)).logsumexp(0) - log_p(data).mean()


def phases(method: RBM, seed: int = 5) -> list[Tensor]:
    """Twelve visible states with the means of h, and the exact model's with theirs: v, h, v_k, h_k."""
    states = states_of(method)
    chosen = np.random.default_rng(seed).integers(0, len(states), 12)
    v, v_k = torch.from_numpy(states[chosen]), rows(exact(method), states, 400_000)
    with torch.no_grad():
        return [v, method.means_h(v), v_k, method.means_h(v_k)]


@both_kinds
def test_at_the_models_own_states_the_step_is_the_gradient_of_the_likelihood(conditional):
    method = rbm(conditional, centred=False)
    given = phases(method)
    with torch.no_grad():
        method.descend(*given)
    parameters = [p.detach().clone().requires_grad_() for p in (method.W, method.b_v, method.b_h)]
    truth = torch.autograd.grad(negative_log_likelihood(parameters, given[0], states_of(method)), parameters)
    for parameter, gradient in zip((method.W, method.b_v, method.b_h), truth, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=3e-4)


@both_kinds
def test_the_centred_step_is_the_gradient_of_the_centred_parameters(conditional):
    """E = -(v-μ)ᵀW(h-λ) - (v-μ)ᵀb - (h-λ)ᵀc is the same machine with b_v = b - Wλ and b_h = c - Wᵀμ, up to a constant."""
    method = rbm(conditional)
    v, h, v_k, h_k = phases(method)
    with torch.no_grad():
        mu, lam = method.mean_v.clone(), method.mean_h.clone()
        method.descend(v, h, v_k, h_k)
    mu = 0.99 * mu + 0.01 * (v.mean(0) + v_k.mean(0)) / 2
    lam = 0.99 * lam + 0.01 * (h.mean(0) + h_k.mean(0)) / 2
    torch.testing.assert_close((method.mean_v, method.mean_h), (mu, lam))
    W = method.W.detach().clone().requires_grad_()
    b = (method.b_v + method.W @ lam).detach().requires_grad_()
    c = (method.b_h + method.W.T @ mu).detach().requires_grad_()
    cost = negative_log_likelihood([W, b - W @ lam, c - W.T @ mu], v, states_of(method))
    of_w, of_b, of_c = torch.autograd.grad(cost, (W, b, c))
    expected = of_w, of_b - of_w @ lam, of_c - of_w.T @ mu  # how the machine's own parameters move with these
    for parameter, gradient in zip((method.W, method.b_v, method.b_h), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_the_centred_step_goes_downhill(seed):
    method = rbm(seed=seed)
    given = phases(method, seed)
    with torch.no_grad():
        method.descend(*given)
    mine = (method.W, method.b_v, method.b_h)
    parameters = [p.detach().clone().requires_grad_() for p in mine]
    truth = torch.autograd.grad(negative_log_likelihood(parameters, given[0], IMAGES), parameters)
    assert sum((p.grad * gradient).sum() for p, gradient in zip(mine, truth, strict=True)) > 0.01


@pytest.mark.parametrize("centred", [False, True])
def test_summed_scales_the_gradient_of_w_only(centred):
    averaged, summed = rbm(centred=centred), rbm(centred=centred, summed=True)
    given = phases(averaged)
    with torch.no_grad():
        for method in (averaged, summed):
            method.descend(*given)
    torch.testing.assert_close(summed.W.grad, 12 * averaged.W.grad)
    assert torch.equal(summed.b_v.grad, averaged.b_v.grad) and torch.equal(summed.b_h.grad, averaged.b_h.grad)


# ------------------------------------------------------------------------------------------------------------- training


class Images:
    """As much of a data module's split as there is to ask."""

    def __init__(self, images: Tensor | None) -> None:
        self.tensor = images

    def __len__(self) -> int:
        return len(self.tensor)

    def images(self, index: Tensor) -> Tensor:
        return self.tensor[index]


def in_training(method: RBM, images: Tensor | None = None) -> RBM:
    """As a trainer would have it, in the first half of its budget."""
    method._trainer = SimpleNamespace(
        datamodule=SimpleNamespace(train=Images(images)),
        num_training_batches=10,
        max_epochs=1,
        accumulate_grad_batches=1,
        global_step=5,
    )
    optimizer = method.configure_optimizers()
    method.optimizers = lambda: optimizer
    return method


def batch(n: int = 8, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 1, 2, 3, generator=generator, dtype=torch.float64)
    return Batch(images, torch.arange(n) % CLASSES, torch.arange(n))


@both_kinds
def test_persistent_chains_go_on_where_they_were(conditional):
    method = in_training(rbm(conditional, cd_steps=3, chains=10))
    method.fantasies.copy_(torch.from_numpy(STATES_H[:10]))
    starts, steps, real, step = [], [], method.fantasy, method.gibbs
    method.fantasy = lambda h: starts.append(h.clone()) or real(h)
    method.gibbs = lambda v, betas: steps.append((v, betas)) or step(v, betas)
    ends = [method.fantasies.clone()]
    for _ in range(3):
        method.training_step(batch(), 0)
        ends.append(method.fantasies.clone())
        assert frequencies(ends[-1], STATES_H).sum() == pytest.approx(1)
        v, betas = steps[-1]
        assert frequencies(v, states_of(method)).sum() == pytest.approx(1)  # states, one label each
        assert betas == [1.0] * 2  # the first of the three is from h to v
    assert all(torch.equal(start, end) for start, end in zip(starts, ends[:-1], strict=True))
    assert not torch.equal(ends[0], ends[1]) and not torch.equal(ends[1], ends[2])


def test_a_step_moves_some_of_the_chains_in_turn():
    method = in_training(rbm(chains=12, moved=4))
    method.fantasies.copy_(torch.from_numpy(STATES_H[:12]))
    for step in range(4):
        method._trainer.global_step = step
        before = method.fantasies.clone()
        method.training_step(batch(64), 0)
        moved = (method.fantasies != before).any(1)
        at = 4 * (step % 3)
        assert not moved[:at].any() and not moved[at + 4 :].any()
    assert sorted(method.starts(12, None, torch.Generator().manual_seed(0)).tolist()) == list(range(12))
    assert sorted(method.starts(30, None, torch.Generator().manual_seed(0)).bincount().tolist()) == [2] * 6 + [3] * 6
    with pytest.raises(ValueError, match=r"model\.moved: expected a number that divides model\.chains=12, got 5"):
        rbm(chains=12, moved=5)
    assert rbm(chains=12, moved=400).moved == 12


@both_kinds
def test_contrastive_divergence_starts_at_the_data(conditional):
    method = in_training(rbm(conditional, persistent=False, visible="threshold"))
    asked, real = [], method.means_h
    method.means_h = lambda v, beta=1.0: asked.append(v) or real(v, beta)
    given = batch()
    method.training_step(given, 0)
    seen = (given.image.flatten(1) > 0.5).double()
    labels = torch.eye(CLASSES, dtype=torch.float64)[given.label]
    assert torch.equal(asked[0], torch.cat([seen, labels], 1) if conditional else seen)
    assert len(asked) == 2  # the hidden states of the data, drawn once, begin the chain
    assert method.fantasies.numel() == 0


def test_a_step_of_sgd_adds_the_documents_update():
    """(26) by hand in numpy, with its states: as `paper` has it: drawn states, W's summed over the batch; half of the rate is left."""
    method = in_training(
        rbm(persistent=False, centred=False, summed=True, units="states", visible="grey", schedule="linear")
    )
    W, b_v, b_h = (p.detach().clone() for p in (method.W, method.b_v, method.b_h))
    given = batch()
    torch.manual_seed(3)
    method.training_step(given, 0)
    torch.manual_seed(3)
    v = given.image.flatten(1)
    h = bernoulli(torch.sigmoid(v @ W + b_h))
    v_k = bernoulli(torch.sigmoid(h @ W.T + b_v))
    h_k = bernoulli(torch.sigmoid(v_k @ W + b_h))
    rate = 0.1 * 0.5
    torch.testing.assert_close(method.W.detach(), W + rate * (v.T @ h - v_k.T @ h_k))
    torch.testing.assert_close(method.b_v.detach(), b_v + rate * (v - v_k).mean(0))
    torch.testing.assert_close(method.b_h.detach(), b_h + rate * (h - h_k).mean(0))


def test_weight_decay_is_of_w_alone():
    weights, biases = rbm(weight_decay=0.3).configure_optimizers().param_groups
    assert weights["weight_decay"] == 0.3 and [p.shape for p in weights["params"]] == [(PIXELS, HIDDEN)]
    assert biases["weight_decay"] == 0 and len(biases["params"]) == 2


@both_kinds
def test_training_begins_at_the_mean_pixels_once(conditional):
    method = in_training(rbm(conditional, chains=20_000), images=batch(50).image.round())
    method.base.zero_()
    classes = method.b_v[PIXELS:].clone()
    method.on_fit_start()
    mean = batch(50).image.round().flatten(1).mean(0)
    expected = torch.log(mean / (1 - mean))
    torch.testing.assert_close(method.base[:PIXELS], expected)
    torch.testing.assert_close(method.b_v.detach()[:PIXELS], expected)
    torch.testing.assert_close(method.mean_v[:PIXELS], mean)
    assert torch.equal(method.b_v[PIXELS:], classes)
    assert frequencies(method.fantasies, STATES_H) == pytest.approx(1 / 16, abs=0.01)
    begun = method.fantasies.clone()
    method.on_fit_start()  # as after a checkpoint
    assert torch.equal(method.fantasies, begun)


def test_what_grey_values_are_to_the_visible_units():
    images = torch.full((20_000, 1, 2, 3), 0.3, dtype=torch.float64)
    labels = torch.zeros(20_000, dtype=torch.long)
    assert torch.equal(rbm(visible="grey").seen(images, labels), images.flatten(1))
    assert (rbm(visible="threshold").seen(images, labels) == 0).all()
    drawn = rbm(visible="sampled").seen(images, labels)
    assert set(drawn.unique().tolist()) == {0, 1} and drawn.mean().item() == pytest.approx(0.3, abs=0.01)


# -------------------------------------------------------------------------------------------------------------- samples


def two_modes() -> RBM:
    """All pixels off, or all on, three times as often; a chain at β = 1 seldom gets from one to the other."""
    method = rbm(gibbs_steps=1000, output="states")
    with torch.no_grad():
        method.W.fill_(2.0)
        method.b_v.fill_(-2.0 * HIDDEN / 2 + 0.18)
        method.b_h.fill_(-2.0 * PIXELS / 2)
        method.base.zero_()
    return method


def test_tempered_samples_reach_both_modes_as_often_as_they_should():
    method = two_modes()
    probabilities = exact(method)
    off, on = probabilities[0], probabilities[-1]
    assert off > 0.2 and on > 0.6
    v = method.sample(3000, generator=torch.Generator().manual_seed(0)).flatten(1).double()
    found = frequencies(v, IMAGES)
    assert found[0] == pytest.approx(off, abs=0.05) and found[-1] == pytest.approx(on, abs=0.05)
    with torch.no_grad():  # without tempering, the one is hardly left
        *_, (_, stuck) = method.gibbs(torch.zeros(500, PIXELS).double(), [1.0] * 60)
    assert (stuck.mean(1) < 0.5).double().mean() > 0.9


@pytest.mark.parametrize("start", ["tempered", "noise", "fantasies"])
def test_samples_of_a_class_are_of_its_own_distribution(start):
    method = rbm(conditional=True, start=start, gibbs_steps=40, output="states")
    method.fantasies.copy_(torch.from_numpy(STATES_H[:10]))
    of_label = exact(method).reshape(64, CLASSES)
    of_label /= of_label.sum(0)
    for label in range(CLASSES):
        labels = torch.full((4000,), label)
        v = method.sample(4000, labels, generator=torch.Generator().manual_seed(0)).flatten(1).double()
        assert abs(frequencies(v, IMAGES) - of_label[:, label]).sum() / 2 < 0.07  # total variation; 0.04 by chance


def test_means_are_the_probabilities_that_states_are_drawn_from():
    states = rbm(gibbs_steps=20, output="states").sample(5000, generator=torch.Generator().manual_seed(0))
    means = rbm(gibbs_steps=20, output="means").sample(5000, generator=torch.Generator().manual_seed(0))
    assert set(states.unique().tolist()) == {0, 1} and means.min() > 0 and means.max() < 1
    torch.testing.assert_close(states.mean(0), means.mean(0), rtol=0, atol=0.03)


@pytest.mark.parametrize("conditional", [False, True])
def test_a_mean_field_step_follows_the_last_means(conditional):
    labels = torch.arange(12) % CLASSES if conditional else None
    method = rbm(conditional, gibbs_steps=20, output="means")
    means = method.sample(12, labels, generator=torch.Generator().manual_seed(0))
    expected = method.reconstruct(means.double(), labels)
    method.output = "mean_field"
    torch.testing.assert_close(method.sample(12, labels, generator=torch.Generator().manual_seed(0)), expected)
    last = method.sample_trajectory(12, labels, frames=3, generator=torch.Generator().manual_seed(0))[-1]
    torch.testing.assert_close(last, expected)
    assert not last.requires_grad


def test_counts_below_one_are_refused():
    for name in ("hidden", "cd_steps", "chains", "gibbs_steps", "ais_chains", "ais_temperatures"):
        with pytest.raises(ValueError, match=rf"model\.{name}: expected at least 1, got 0"):
            rbm(**{name: 0})


def test_the_weight_decay_of_the_optimizer_is_refused():
    with pytest.raises(ValueError, match=r"model\.optimizer\.weight_decay: .* give model\.weight_decay"):
        RBM((1, 2, 3), 0, partial(torch.optim.SGD, lr=0.1, weight_decay=0.1)).check_options()


def test_samples_that_start_at_the_chains_of_training_are_further_steps_of_these():
    method = rbm(start="fantasies", gibbs_steps=1, output="means")
    method.fantasies.copy_(torch.from_numpy(STATES_H[:10]))
    generator = torch.Generator().manual_seed(1)

    def drawn(means: Tensor) -> Tensor:
        return (torch.rand(means.shape, generator=generator, dtype=torch.float64) < means).double()

    at = torch.randperm(10, generator=generator)[:4]
    h = drawn(method.means_h(drawn(method.means_v(method.fantasies[at]))))
    expected = method.means_v(h).reshape(4, 1, 2, 3).float()
    torch.testing.assert_close(method.sample(4, generator=torch.Generator().manual_seed(1)), expected.detach())
    with pytest.raises(ValueError, match=r"model\.start=fantasies needs model\.persistent=true"):
        rbm(start="fantasies", persistent=False)


def test_samples_of_a_class_start_at_chains_of_that_class():
    method = rbm(True, start="fantasies")
    classes = torch.arange(len(method.fantasies)) % (CLASSES - 1)  # the last class has none
    with torch.no_grad():  # a hidden unit for each class, which makes its label all but certain
        method.W[method.pixels :] = 50 * torch.eye(CLASSES, HIDDEN)
        method.b_v.zero_()
    method.fantasies.copy_(torch.eye(HIDDEN)[classes])
    labels = torch.arange(CLASSES).repeat(50)
    at = method.starts(len(labels), labels, torch.Generator().manual_seed(0))
    has_some = labels < CLASSES - 1
    assert torch.equal(classes[at[has_some]], labels[has_some])
    assert len(at[~has_some].unique()) > 1
    assert len(at[labels == 0].unique()) > 1
