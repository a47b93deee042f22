"""The autoencoder against its formulas, in float64, and what its priors make of codes."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genrun.maths.divergences import mean_discrepancy
from genrun.maths.mixtures import ClassMixture
from genrun.maths.reconstruction import CrossEntropy, MeanSquaredError
from genrun.methods.autoencoder import Autoencoder, squared_correlations
from genrun.types import Batch

SHAPE, PIXELS, SIZE, CLASSES = (1, 2, 3), 6, 2, 3


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 20) -> Tensor:
    return torch.rand(n, *SHAPE, generator=seeded(), dtype=torch.float64)


def autoencoder(**options) -> Autoencoder:
    torch.manual_seed(0)
    options = {"error": MeanSquaredError(), "code_size": SIZE, "schedule": "constant"} | options
    return Autoencoder(
        SHAPE,
        CLASSES,
        lambda _, outputs: nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, outputs)),
        lambda inputs, shape: nn.Sequential(nn.Linear(inputs, PIXELS), nn.Unflatten(1, shape)),
        optimizer=partial(torch.optim.SGD, lr=0.1),
        **options,
    ).double()


def batch(n: int = 20) -> Batch:
    return Batch(images(n), torch.arange(n) % CLASSES, torch.arange(n))


def codes_in(method: Autoencoder, x: Tensor) -> np.ndarray:
    linear = method.encoder[1]
    return x.flatten(1).numpy() @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()


def decoded_by_hand(method: Autoencoder, codes: np.ndarray) -> np.ndarray:
    linear = method.decoder[0]
    return 1 / (1 + np.exp(-codes @ linear.weight.detach().numpy().T - linear.bias.detach().numpy()))


class TensorImages:
    """A training set as the data module has it."""

    def __init__(self, data: Batch) -> None:
        self.data, self.labels = data, data.label

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, index: Tensor) -> Tensor:
        return self.data.image[index]


# --------------------------------------------------------------------------------------------------------- correlations


def test_squared_correlations_are_numpys():
    codes = (
        torch.randn(50, 4, generator=seeded(), dtype=torch.float64) @ torch.randn(4, 4, generator=seeded(1)).double()
    )
    rho = np.corrcoef(codes.numpy().T)
    assert squared_correlations(codes).item() == pytest.approx((rho**2).sum() - 4)
    codes[:, 0] = 3.0
    assert squared_correlations(codes).item() == pytest.approx((rho[1:, 1:] ** 2).sum() - 3)


# ------------------------------------------------------------------------------------------------------------- training


def loss_of(method: Autoencoder) -> float:
    return method.training_step(batch(), 0).item()


@pytest.mark.parametrize("code_relu", [False, True])
def test_the_loss_is_the_error_of_what_is_rebuilt(code_relu):
    method, x = autoencoder(code_relu=code_relu), images()
    codes = codes_in(method, x)
    if code_relu:
        codes = np.maximum(codes, 0)
    expected = ((decoded_by_hand(method, codes) - x.flatten(1).numpy()) ** 2).mean()
    assert loss_of(method) == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(method.encode(x), codes, rtol=1e-12)
    np.testing.assert_allclose(method.reconstruct(x).flatten(1), decoded_by_hand(method, codes), rtol=1e-6)
    torch.testing.assert_close(method.decode_codes(torch.from_numpy(codes)), method.reconstruct(x))


def test_sparsity_and_decorrelation_are_added_with_their_weights():
    plain = loss_of(autoencoder())
    codes = torch.from_numpy(codes_in(autoencoder(), images()))
    assert loss_of(autoencoder(sparsity=0.3)) - plain == pytest.approx(0.3 * codes.abs().mean().item(), rel=1e-4)
    extra = loss_of(autoencoder(decorrelation=0.2)) - plain
    assert extra == pytest.approx(0.2 * squared_correlations(codes).item(), rel=1e-4)


def test_the_terms_of_rae_and_wae_are_added_with_their_weights():
    plain, method = loss_of(autoencoder()), autoencoder()
    codes = codes_in(method, images())
    assert loss_of(autoencoder(code_decay=0.3)) - plain == pytest.approx(0.15 * (codes**2).sum(1).mean(), rel=1e-6)
    squares = sum((weight.detach().numpy() ** 2).sum() for weight in method.decoder.parameters())
    assert loss_of(autoencoder(decoder_decay=0.1)) - plain == pytest.approx(0.1 * squares, rel=1e-6)
    torch.manual_seed(6)
    others = torch.randn(20, SIZE, dtype=torch.float64)
    wae = autoencoder(mmd=0.4)
    torch.manual_seed(6)
    extra = loss_of(wae) - plain
    assert extra == pytest.approx(0.4 * mean_discrepancy(torch.from_numpy(codes), others).item(), rel=1e-6)
    wae.training_step(batch(1), 0)  # the last batch of an epoch may be one image


def test_the_decoder_sees_codes_with_noise_in_proportion_to_their_own_spread():
    method = autoencoder(code_noise=0.5)
    with torch.no_grad():
        method.encoder[1].weight[1] *= 1000  # noise that did not follow would be nothing there
    seen = []
    method.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    loss_of(method)
    codes = torch.from_numpy(codes_in(method, images()))
    noise = (seen[0] - codes) / codes.std(0, correction=0)
    assert noise.std(0).tolist() == pytest.approx([0.5, 0.5], rel=0.5)
    torch.testing.assert_close(method.encode(images()), codes)  # none outside training


def test_validation_is_the_squared_error_whatever_the_loss():
    method = autoencoder(error=CrossEntropy())
    logged = {}
    method.log = lambda name, value, batch_size: logged.update({name: value.item()})
    method.validation_step(batch(), 0)
    expected = ((method.reconstruct(images()) - images()) ** 2).mean().item()
    assert logged == {"val/score": pytest.approx(expected)}


def test_the_epochs_grid_is_drawn_from_each_classs_gaussian():
    method = autoencoder(prior=partial(ClassMixture, components=4))
    data = batch(30)
    train = TensorImages(data)
    method._trainer = SimpleNamespace(datamodule=SimpleNamespace(train=train))
    method.on_validation_epoch_start()
    codes = method.encode(data.image)
    for label in range(CLASSES):
        of_class = codes[data.label == label]
        torch.testing.assert_close(method.prior.means[label], of_class.mean(0).expand(4, -1))
        drawn = method.prior.sample(torch.full((20_000,), label), generator=seeded(3))
        torch.testing.assert_close(drawn.T.cov(), of_class.T.cov(), rtol=0.05, atol=0.02)


# ----------------------------------------------------------------------------------------------------------- generation


def test_a_sample_is_decoded_from_its_classs_codes():
    method = autoencoder()
    labels = torch.arange(300) % CLASSES
    codes = torch.randn(300, SIZE, generator=seeded(), dtype=torch.float64) + 10 * labels.unsqueeze(1)
    method.refit_prior(codes, labels)
    asked = torch.tensor([2, 0, 1, 1])
    drawn = method.prior.sample(asked, generator=seeded(5))
    assert ((drawn.mean(1) / 10).round() == asked).all()
    sample = method.sample(4, asked, generator=seeded(5))
    np.testing.assert_allclose(sample.flatten(1), decoded_by_hand(method, drawn.numpy()), rtol=1e-5)
    assert torch.equal(sample, method.sample(4, asked, generator=seeded(5)))


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"model\.code_size: expected at least 1, got 0"):
        autoencoder(code_size=0)
    for name in ("code_noise", "sparsity", "decorrelation", "code_decay", "decoder_decay", "mmd"):
        for value in (-0.1, float("nan")):
            with pytest.raises(ValueError, match=rf"model\.{name}: expected a finite number, at least 0, got {value}"):
                autoencoder(**{name: value})


def test_codes_gain_nothing_by_growing():
    """The loss does not change with the codes' scale, once the decoder follows: neither does noise drive them apart."""
    one, wide = autoencoder(code_noise=0.5), autoencoder(code_noise=0.5)
    with torch.no_grad():
        for weight in (wide.encoder[1].weight, wide.encoder[1].bias):
            weight.mul_(100)
        wide.decoder[0].weight.div_(100)
    losses = []
    for method in (one, wide):
        torch.manual_seed(7)
        loss = method.training_step(batch(), 0)
        loss.backward()
        losses.append(loss.item())
        encoder = method.encoder[1]
        along = (encoder.weight * encoder.weight.grad).sum() + (encoder.bias * encoder.bias.grad).sum()
        decoder = method.decoder[0]
        assert along.item() == pytest.approx((decoder.weight * decoder.weight.grad).sum().item(), rel=1e-9)
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
