"""CSGM against its algorithms written out plainly, in float64."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import TINY
from torch import Tensor

from genrun.config.compose import compose
from genrun.maths.principal import scores_within_classes
from genrun.methods.csgm import CSGM
from genrun.nn.mlp import pixel_centres
from genrun.run import run
from genrun.types import Batch

LITERAL = {  # Algorithm 1 to the letter
    "pixels": 1,
    "ramp": "visit",
    "code_adam": False,
    "code_noise": 0.0,
    "whiten": False,
    "schedule": "constant",
}


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05)


def csgm(shape=(1, 4, 5), classes=3, train_size=6, seed=0, **options) -> CSGM:
    torch.manual_seed(seed)
    options = {"hidden": (7, 6), "code_size": 4, "optimizer": sgd, "code_rate": 0.05} | options
    method = CSGM(shape, classes, train_size, **options).double()
    method.code_moments.to(method.codes)
    method.places = pixel_centres(shape[1:], torch.float64)
    method.labels.copy_(torch.arange(train_size) % max(1, classes))
    return method


def feedforward(method: CSGM, entry: Tensor) -> Tensor:
    """All layers on [S, L, A], one after the other."""
    return torch.nn.Sequential.forward(method.network, entry)


class Batches:
    """A loader: a list would be taken for several loaders."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)


def train(method: CSGM, batches: list[Batch], epochs: int = 1) -> None:
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        precision="64-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(method, Batches(batches))


def batch(method: CSGM, index: list[int], seed: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(len(index), *method.image_shape, generator=generator, dtype=torch.float64)
    index = torch.tensor(index)
    return Batch(images, method.labels[index], index)


def algorithm_1(weights, biases, code, label, image, seen_at, rate, leak=0.01, classes=3):
    """Lines 2 to 10 for one image, in numpy, with the gradient worked out by hand; the document's update "+η(target - output)∂output"."""
    _, height, width = image.shape
    steps = len(seen_at)
    for n, place in enumerate(seen_at):
        m = n / (steps - 1)  # line 3 runs from 0 to N, N included
        row, column = divmod(place, width)
        p, q = (2 * row + 1) / height - 1, (2 * column + 1) / width - 1
        activations = [np.concatenate([np.eye(classes)[label], code, [p, q]])]
        slopes = []
        for layer, (w, b) in enumerate(zip(weights, biases, strict=True)):
            z = w @ activations[-1] + b
            slopes.append(np.where(z > 0, 1.0, leak) if layer < len(weights) - 1 else np.ones_like(z))
            activations.append(z * slopes[-1])
        target = np.concatenate([[m], image[:, row, column]])
        delta = target - activations[-1]
        updates = []
        for w, activation, slope in zip(weights[::-1], activations[-2::-1], slopes[::-1], strict=True):
            delta = delta * slope
            updates.append((np.outer(delta, activation), delta))
            delta = w.T @ delta  # by the weights before their update
        code = code + rate * delta[classes:-2]
        for (w, b), (dw, db) in zip(zip(weights[::-1], biases[::-1], strict=True), updates, strict=True):
            w += rate * dw
            b += rate * db
    return code


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_of_one_image_and_one_pixel_is_algorithm_1(channels):
    steps, rate = 9, 0.05
    method = csgm((channels, 4, 5), visit_steps=steps, **LITERAL)
    linear = [layer for layer in method.network if isinstance(layer, torch.nn.Linear)]
    weights = [layer.weight.detach().numpy().copy() for layer in linear]
    biases = [layer.bias.detach().numpy().copy() for layer in linear]
    codes = method.codes.numpy().copy()
    visits = [batch(method, [index], seed=index) for index in (2, 0, 5)]

    torch.manual_seed(11)
    train(method, visits)

    torch.manual_seed(11)
    for visit in visits:
        (index,), (label,) = visit.index.tolist(), visit.label.tolist()
        seen_at = [int(torch.randint(20, (1, 1))) for _ in range(steps)]
        codes[index] = algorithm_1(weights, biases, codes[index], label, visit.image[0].numpy(), seen_at, rate)
    for layer, w, b in zip(linear, weights, biases, strict=True):
        np.testing.assert_allclose(layer.weight.detach().numpy(), w, rtol=1e-12)
        np.testing.assert_allclose(layer.bias.detach().numpy(), b, rtol=1e-12)
    np.testing.assert_allclose(method.codes.numpy(), codes, rtol=1e-12)
    assert not np.array_equal(method.codes.numpy()[[0, 2, 5]], csgm((channels, 4, 5)).codes.numpy()[[0, 2, 5]])


def test_a_batch_sums_the_gradients_of_its_images_and_pixels():
    method = csgm(**LITERAL | {"pixels": 3, "ramp": "training"})
    before, codes = [weight.detach().clone() for weight in method.network.parameters()], method.codes.clone()
    visit = batch(method, [1, 4])
    torch.manual_seed(2)
    train(method, [visit])

    torch.manual_seed(2)
    at = torch.randint(20, (2, 3))
    twin = csgm(**LITERAL | {"ramp": "training"})
    stored = codes[visit.index].clone().requires_grad_()
    loss = 0
    for i in range(2):
        for place in at[i]:
            entry = torch.cat([torch.eye(3).double()[visit.label[i]], stored[i], method.places[place]])
            d, g = feedforward(twin, entry)
            loss = loss + ((0 - d) ** 2 + (visit.image[i].flatten()[place] - g) ** 2) / 2
    gradients = torch.autograd.grad(loss, [*twin.network.parameters(), stored])
    for weight, old, gradient in zip(method.network.parameters(), before, gradients, strict=False):
        torch.testing.assert_close(weight.detach(), old - 0.05 * gradient, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(
        method.codes[visit.index], codes[visit.index] - 0.05 * gradients[-1], rtol=1e-12, atol=1e-14
    )
    untouched = [0, 2, 3, 5]
    assert torch.equal(method.codes[untouched], codes[untouched])


@pytest.mark.parametrize("classes", [0, 3])
def test_feedforward_is_the_network_on_s_l_and_a(classes):
    method = csgm(classes=classes)
    labels = method.labels[:5]
    places = torch.rand(5, 3, 2, dtype=torch.float64)
    d, g = method(method.codes[:5], labels, places)
    for i in range(5):
        for j in range(3):
            s = torch.eye(3).double()[labels[i]] if classes else torch.zeros(0).double()
            whole = feedforward(method, torch.cat([s, method.codes[i], places[i, j]]))
            torch.testing.assert_close(torch.cat([d[i, j : j + 1], g[i, j]]), whole, rtol=1e-12, atol=1e-14)


# ---------------------------------------------------------------------------------------------- the default's additions


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_whitening_changes_no_image_and_gives_the_moments_of_the_fresh_codes(classes, noise):
    method = csgm(classes=classes, train_size=600, code_noise=noise)
    mix = torch.randn(4, 4, dtype=torch.float64)
    method.codes.copy_(method.codes @ mix + 3 * torch.randn(3, 4, dtype=torch.float64)[method.labels])
    before = method(method.codes, method.labels, method.places)
    method.whiten_codes()
    for old, new in zip(before, method(method.codes, method.labels, method.places), strict=True):
        torch.testing.assert_close(new, old, rtol=1e-9, atol=1e-9)
    for label in range(max(1, classes)):
        assert method.codes[method.labels == label].mean(0).abs().max() < 1e-12
    covariance = method.codes.T @ method.codes / 600
    torch.testing.assert_close(covariance, (1 - noise**2) * torch.eye(4).double(), rtol=1e-9, atol=1e-9)


def test_whitening_changes_no_image_of_a_basis():
    method = csgm(train_size=60, code_noise=0.3, basis=5, place_hidden=(6,), place_octaves=1)
    method.codes.copy_(2 * method.codes + 1)
    before = method(method.codes, method.labels, method.places)
    method.whiten_codes()
    torch.testing.assert_close(method(method.codes, method.labels, method.places), before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("output", ["linear", "sigmoid"])
def test_the_error_of_g_is_the_likelihood_of_its_output(output):
    """Half of it is minimised: half a squared error, or the cross-entropy of all pixels."""
    method = csgm(output=output, pixels=None, basis=5)
    visit = batch(method, [0, 3])
    pixels = visit.image.flatten(2).transpose(1, 2)
    places, target = method.visited_places(pixels)
    assert torch.equal(places, method.places) and torch.equal(target, pixels)
    raw = method.outputs(method.codes[visit.index], visit.label, places)[1]
    g = method(method.codes[visit.index], visit.label, places)[1]
    error, squared = method.errors_of_g(raw, target)
    torch.testing.assert_close(squared, (g - pixels).square().sum())
    entropy = -(pixels * g.log() + (1 - pixels) * (1 - g).log()).sum() if output == "sigmoid" else squared / 2
    torch.testing.assert_close(error / 2, entropy)
    assert output == "linear" or 0 < g.min() < g.max() < 1


def test_codes_start_as_components_once():
    """They are whitened scores; a run that goes on, whose weights are loaded, keeps its codes."""
    images = torch.rand(60, 1, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.arange(60) % 3
    train = SimpleNamespace(images=lambda index: images[index], labels=labels)
    method = csgm(train_size=60, code_start="principal", code_noise=0.6)
    method._trainer = SimpleNamespace(datamodule=SimpleNamespace(train=train))
    method.on_train_start()
    codes = method.codes.clone()
    torch.testing.assert_close(codes.T @ codes / 60, 0.64 * torch.eye(4).double(), rtol=1e-5, atol=1e-5)
    scores = scores_within_classes(train.images, labels, 3, 4).double()
    torch.testing.assert_close(codes, 0.8 * scores / scores.square().mean(0).sqrt(), rtol=1e-3, atol=1e-3)
    goes_on = csgm(train_size=60, code_start="principal", code_noise=0.6, seed=1)
    goes_on.load_state_dict(method.state_dict() | {"codes": codes + 1})
    goes_on._trainer = method._trainer
    goes_on.on_train_start()
    assert torch.equal(goes_on.codes, codes + 1)


def test_codes_move_by_adam_with_moments_of_their_own():
    method = csgm(code_adam=True)
    rows = torch.nn.Parameter(method.codes.clone())
    adam = torch.optim.Adam([rows], lr=0.3, betas=(0.9, 0.99))
    for step in range(5):
        gradient = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        rows.grad = gradient
        adam.step()
        for index in ([0, 3], [1, 2, 4, 5]):  # in two visits
            method.move_codes(torch.tensor(index), gradient[index], 0.3)
    torch.testing.assert_close(method.codes, rows.detach(), rtol=1e-7, atol=1e-9)


def test_contrast_counts_fresh_codes_as_much_as_stored_ones():
    method = csgm(pixels=8, fresh_pixels=2)
    torch.manual_seed(4)
    error = method.error_on_fresh_codes(method.labels)
    torch.manual_seed(4)
    codes = torch.randn(6, 4, dtype=torch.float64)
    at = torch.randint(20, (6, 2))
    d, _ = method(codes, method.labels, method.places[at])
    assert error.item() == pytest.approx(4 * d.square().sum().item(), rel=1e-6)


def test_the_cosine_starts_low_for_weights_only_and_ends_at_zero(monkeypatch):
    method = csgm(schedule="cosine")
    shares = []
    for done in (0.0, 0.02, 0.5, 1.0):
        monkeypatch.setattr(method, "progress", lambda done=done: done)
        shares.append(method.rate_shares())
    weights, codes = zip(*shares, strict=True)
    assert codes == pytest.approx([1, 0.99901, 0.5, 0], abs=1e-4)
    assert weights == pytest.approx([0.005, 0.99901, 0.5, 0], abs=1e-4)
    assert "cosine" in method.budget_dependence() and csgm(schedule="constant").budget_dependence() is None


def test_the_ramp_of_a_visit_rises_from_0_to_1_and_needs_two_steps():
    method = csgm(**LITERAL | {"visit_steps": 3})
    assert [method.target_of_d(n) for n in range(3)] == [0, 0.5, 1]
    with pytest.raises(ValueError, match=r"expected model.visit_steps of at least 2, got 1"):
        csgm(**LITERAL)


def test_the_training_ramp_rises_once_over_the_budget():
    method = csgm(**LITERAL | {"ramp": "training", "visit_steps": 2})
    targets = []
    real = method.target_of_d
    method.target_of_d = lambda n: targets.append(real(n)) or targets[-1]
    train(method, [batch(method, [0, 1]), batch(method, [2, 3])], epochs=2)
    assert targets == [k / 8 for k in range(8)]


# ---------------------------------------------------------------------------------------------------------- algorithm 2


@pytest.mark.parametrize("order", ["raster", "random"])
def test_refinement_is_lines_3_to_8_of_algorithm_2(order):
    method = csgm(refine_order=order, refine_steps=4, refine_rate=0.7, refine_pixels=3)
    codes, labels = torch.randn(2, 4, dtype=torch.float64), torch.tensor([2, 0])
    refined = method.refine(codes, labels, torch.Generator().manual_seed(8))
    generator = torch.Generator().manual_seed(8)
    looked_at = [
        method.places if order == "raster" else method.places[torch.randint(20, (3,), generator=generator)]
        for _ in range(4)
    ]
    for i in range(2):
        code = codes[i].clone()
        for places in looked_at:
            code.requires_grad_()
            entries = [torch.cat([torch.eye(3).double()[labels[i]], code, place.double()]) for place in places]
            error = sum((1 - feedforward(method, entry)[0]) ** 2 / 2 for entry in entries) / len(entries)
            code = (code - 0.7 * torch.autograd.grad(error, code)[0]).detach()
        torch.testing.assert_close(refined[i], code, rtol=1e-10, atol=1e-12)


def test_a_sample_decodes_the_mean_of_k_refined_codes():
    method = csgm(sampler="algorithm2", mean_of=3, refine_steps=2).float()
    labels = torch.tensor([0, 2])
    images = method.sample(2, labels, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    refined = method.refine(torch.randn(6, 4, generator=generator), torch.tensor([0, 0, 0, 2, 2, 2]), generator)
    expected = method.decode_codes(torch.stack([refined[:3].mean(0), refined[3:].mean(0)]), labels)
    assert torch.equal(images, expected)


def test_every_resolution_shows_the_same_function():
    method = csgm((1, 5, 5)).float()
    labels = torch.tensor([1, 2])

    def at(resolution: int, window=None) -> Tensor:
        return method.sample_at(2, resolution, labels, window=window, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(at(5), method.sample(2, labels, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(at(15)[..., 1::3, 1::3], at(5))  # the centres coincide
    torch.testing.assert_close(at(15, (2, 4, 6, 7)), at(15)[..., 2:8, 4:11])


# ------------------------------------------------------------------------------------------------------ codes of images


@pytest.fixture(scope="module")
def trained():
    """CSGM on 300 digits for a few seconds: enough to tell classes apart."""
    import tempfile

    from rich.console import Console

    from genrun.runs.open import open_run

    with tempfile.TemporaryDirectory() as outputs:
        options = [
            *TINY,
            f"paths.outputs={outputs}",
            "data.limit=300",
            "trainer.max_epochs=60",
            "model.hidden=[96,48]",
            "model.pixels=16",
            "callbacks=none",
        ]
        folder = run(compose(options), options, Console(quiet=True))
        yield open_run(folder.path).method(), folder


def test_encode_finds_a_code_for_an_image_of_the_model_and_a_class_that_fits(trained):
    method, _ = trained
    labels = torch.arange(10)
    images = method.sample(10, labels, generator=torch.Generator().manual_seed(0))
    known = method.reconstruct(images, labels)
    assert (known - images).square().mean() < 3e-3
    codes, found = method.encode_with_labels(images, None)
    assert torch.equal(method.encode(images), codes)
    errors = [
        (method.decode_codes(method.encode(images, y), y) - images).square().mean((1, 2, 3)) for y in (labels, found)
    ]
    assert (errors[1] <= errors[0] + 1e-4).all()  # the class that fits best, which need not be the one that was drawn


def test_training_lowers_the_error_and_the_held_out_score(trained):
    _, folder = trained
    rows = folder.metrics()
    assert rows[-1]["train/g"] < 0.5 * rows[0]["train/g"]
    assert rows[-1]["val/score"] < 0.7 * rows[0]["val/score"]


def test_d_tells_stored_codes_from_fresh_ones(trained):
    method, _ = trained
    diagnosis = method.diagnose(generator=torch.Generator().manual_seed(0))
    assert diagnosis["d on stored codes"] > diagnosis["d on fresh codes"]
