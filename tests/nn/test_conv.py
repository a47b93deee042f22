"""Encoders and decoders: any image's shape, gradients everywhere, convolutions by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from helpers.networks import as_if_trained, every_shape, normal
from torch import nn

from genrun.nn.conv import ConvAutoencoder, ConvDecoder, ConvEncoder, halvings
from genrun.nn.mlp import MLPDecoder, MLPEncoder
from genrun.nn.residual import ResidualDecoder, ResidualEncoder

ENCODERS = {
    "conv": partial(ConvEncoder, width=4, hidden=6),
    "conv-spectral": partial(ConvEncoder, width=4, spectral_norm=True),
    "residual": partial(ResidualEncoder, widths=(4, 6), batch_deviation=False),
    "infogan": partial(ConvEncoder, width=4, hidden=6, batch_norm=True, hidden_batch_norm=True, convolutions=2),
    "mlp": partial(MLPEncoder, hidden=(7, 6), leak=0.2),
}
DECODERS = {
    "conv": partial(ConvDecoder, width=4, hidden=6),
    "conv-batch_norm": partial(ConvDecoder, width=4, batch_norm=True),
    "residual": partial(ResidualDecoder, widths=(6, 4)),
    "infogan": partial(
        ConvDecoder, width=4, hidden=6, batch_norm=True, hidden_batch_norm=True, spectral_norm=True, convolutions=2
    ),
    "mlp": partial(MLPDecoder, hidden=(6, 7)),
}


@pytest.mark.parametrize("kind", ENCODERS.values(), ids=ENCODERS)
@every_shape
def test_an_encoder_makes_a_vector_of_each_image(kind, shape):
    network = as_if_trained(kind(shape, 5)).eval()
    x = normal(3, *shape)
    out = network(x)
    assert out.shape == (3, 5) and out.std() > 0
    torch.testing.assert_close(network(x[1:2]), out[1:2])
    for place in ((0, 0), (shape[1] - 1, shape[2] - 1)):  # no pixel is cut off
        other = x.clone()
        other[:, :, *place] += 1
        assert not torch.isclose(network(other), out).all(1).any()


@pytest.mark.parametrize("kind", DECODERS.values(), ids=DECODERS)
@every_shape
def test_a_decoder_makes_an_image_of_each_vector(kind, shape):
    network = as_if_trained(kind(5, shape)).eval()
    codes = normal(3, 5)
    out = network(codes)
    assert out.shape == (3, *shape) and (out.flatten(1).std(1) > 0).all()
    torch.testing.assert_close(network(codes[1:2]), out[1:2])


@pytest.mark.parametrize(
    ("network", "shape"),
    [(kind((3, 8, 12), 5), (3, 8, 12)) for kind in ENCODERS.values()]
    + [(kind(5, (3, 8, 12)), (5,)) for kind in DECODERS.values()],
    ids=[*ENCODERS, *[f"to-{name}" for name in DECODERS]],
)
def test_every_parameter_of_an_encoder_or_decoder_has_a_gradient(network, shape):
    network = as_if_trained(network)
    (network(normal(16, *shape)) - 1).square().sum().backward()
    assert not [name for name, weight in network.named_parameters() if not weight.grad.any()]


def test_sides_are_halved_rounding_up_until_seven():
    assert halvings((1, 28, 28)) == [(28, 28), (14, 14), (7, 7)]
    assert halvings((3, 32, 32)) == [(32, 32), (16, 16), (8, 8), (4, 4)]
    assert halvings((1, 28, 48)) == [(28, 48), (14, 24), (7, 12), (4, 6)]
    assert halvings((1, 7, 9)) == [(7, 9), (4, 5)]
    assert halvings((1, 5, 5)) == [(5, 5), (3, 3)]  # once at least
    assert halvings((3, 32, 32), 2) == [(32, 32), (16, 16), (8, 8)]
    with pytest.raises(ValueError, match="convolutions: expected at least 1, got 0"):
        halvings((1, 8, 8), 0)


def test_an_encoder_of_images_that_halve_evenly_is_plain_convolutions():
    network = as_if_trained(ConvEncoder((1, 28, 28), 3, width=4))
    first, _, second, _, _, last = network.layers
    x = normal(2, 1, 28, 28)
    h = nn.functional.leaky_relu(nn.functional.conv2d(x, first.weight, first.bias, 2, 1), 0.2)
    h = nn.functional.leaky_relu(nn.functional.conv2d(h, second.weight, second.bias, 2, 1), 0.2)
    assert h.shape == (2, 8, 7, 7)
    torch.testing.assert_close(network(x), h.flatten(1) @ last.weight.T + last.bias)


def test_spectral_norm_makes_each_layers_largest_singular_value_one():
    network = as_if_trained(ConvEncoder((1, 28, 28), 1, width=4, spectral_norm=True)).train()
    for _ in range(300):  # power iterations
        network(normal(1, 1, 28, 28))
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == 3
    for layer in layers:
        largest = np.linalg.svd(layer.weight.detach().flatten(1).numpy(), compute_uv=False)[0]
        assert largest == pytest.approx(1, abs=1e-3)


def test_the_infogan_networks_have_the_papers_layers():
    """Chen et al., 2016, appendix C.1: weights of each layer of the discriminator and the generator of 28x28 grey images."""
    options = {"width": 64, "hidden": 1024, "batch_norm": True, "hidden_batch_norm": True, "convolutions": 2}
    with torch.device("meta"):
        of_d, of_g = ConvEncoder((1, 28, 28), 1, **options), ConvDecoder(64, (1, 28, 28), **options)
    shapes = [[tuple(weight.shape) for weight in network.parameters() if weight.ndim > 1] for network in (of_d, of_g)]
    assert shapes[0] == [(64, 1, 4, 4), (128, 64, 4, 4), (1024, 7 * 7 * 128), (1, 1024)]
    assert shapes[1] == [(1024, 64), (7 * 7 * 128, 1024), (128, 64, 4, 4), (64, 1, 4, 4)]
    norms = [[m.num_features for m in network.modules() if hasattr(m, "num_features")] for network in (of_d, of_g)]
    assert norms == [[128, 1024], [1024, 128, 64]]


def test_an_autoencoder_as_discriminator_gives_minus_its_mean_error():
    network = as_if_trained(ConvAutoencoder((1, 8, 8), 1, code_size=3, width=4, convolutions=2))
    x = normal(5, 1, 8, 8).tanh()
    rebuilt = network.decoder(network.encoder(x)).tanh().detach().numpy()
    expected = -np.abs(x.numpy() - rebuilt).reshape(5, -1).mean(1)
    np.testing.assert_allclose(network(x).detach()[:, 0], expected)
    with pytest.raises(ValueError, match="has one output and knows no classes, got 4 outputs; set model"):
        ConvAutoencoder((1, 8, 8), 4)


def test_a_discriminator_can_see_how_much_a_batch_differs():
    network = as_if_trained(ConvEncoder((1, 8, 8), 1, width=4, batch_deviation=True))
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hidden = network.layers[:-2](images.contiguous(memory_format=torch.channels_last))
    deviation = hidden.std(0, unbiased=False).mean()
    last = network.layers[-1]
    expected = hidden @ last.weight[:, :-1].T + last.weight[:, -1:].T * deviation + last.bias
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)
    alike = images[:1].expand(5, -1, -1, -1)
    torch.testing.assert_close(network(alike), network(alike[:1]).expand(5, -1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("options", [{"widths": ()}, {"widths": (4, 0)}, {"blocks": 0}, {"patch": 0}])
def test_a_residual_network_needs_widths_and_blocks(options):
    for build in (partial(ResidualEncoder, (1, 8, 8), 5), partial(ResidualDecoder, 5, (1, 8, 8))):
        with pytest.raises(ValueError, match="expected at least one width, and numbers of at least 1, got"):
            build(**options)


def test_a_residual_network_starts_as_its_shortcuts_and_its_blocks_learn():
    network = ResidualEncoder((1, 8, 8), 5, widths=(4,), blocks=2, patch=1, batch_deviation=False)
    x = normal(3, 1, 8, 8).float()
    first, last = network.layers[0], network.layers[-1]
    torch.testing.assert_close(network(x), last(nn.functional.leaky_relu(first(x), 0.2).flatten(1)))
    network(x).square().sum().backward()
    assert all(block.conv2.weight.grad.abs().sum() > 0 for block in network.layers[1:3])
