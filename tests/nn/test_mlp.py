"""Networks of linear layers: products by hand, dropout, initialisations, and the centres of pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.networks import as_if_trained, normal
from torch import Tensor, nn

from genrun.nn.mlp import MLP, MLPDecoder, MLPEncoder, pixel_centres


def test_mlps_are_matrix_products_with_leaky_relu_between():
    encoder, decoder = as_if_trained(MLPEncoder((1, 2, 3), 4, (5,), leak=0.2)), MLPDecoder(4, (1, 2, 3), (5,))
    decoder = as_if_trained(decoder)

    def by_hand(network: nn.Module, x: np.ndarray, leak: float) -> np.ndarray:
        first, last = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
        h = x @ first.weight.detach().numpy().T + first.bias.detach().numpy()
        return np.where(h > 0, h, leak * h) @ last.weight.detach().numpy().T + last.bias.detach().numpy()

    x, z = normal(7, 1, 2, 3), normal(7, 4)
    np.testing.assert_allclose(encoder(x).detach(), by_hand(encoder, x.flatten(1).numpy(), 0.2), rtol=1e-10)
    np.testing.assert_allclose(decoder(z).flatten(1).detach(), by_hand(decoder, z.numpy(), 0.0), rtol=1e-10)


def test_dropout_leaves_out_hidden_units_in_training_only():
    network = MLPEncoder((1, 2, 3), 4, (500,), dropout=0.3)
    hidden: list[Tensor] = []
    network[1][3].register_forward_hook(lambda _, inputs, output: hidden.append(inputs[0]))
    x = torch.rand(20, 1, 2, 3)
    network.eval()(x)
    network.train()(x)
    off = (hidden[1] == 0) & (hidden[0] != 0)
    assert off[hidden[0] != 0].float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert isinstance(network[1][-1], nn.Linear)  # none behind the output


def test_pixel_centres():
    assert pixel_centres((1, 2)).tolist() == [[0, -0.5], [0, 0.5]]
    assert pixel_centres(4)[0].tolist() == [-0.75, -0.75] and pixel_centres(4)[7].tolist() == [-0.25, 0.75]


def test_initialisations_have_the_standard_deviations_they_name():
    torch.manual_seed(0)
    for init, wanted, bias in (
        ("he", (2 / 400) ** 0.5, 0),
        ("fan_in", 1 / 400, 1 / 400),
        ("fan_in_at_least", 0.03, 0.03),
    ):
        first = MLP((400, 500, 1), init=init)[0]
        assert first.weight.std().item() == pytest.approx(wanted, rel=0.02)
        assert first.bias.std().item() == pytest.approx(bias, rel=0.15)
    assert MLP((10, 5000), init="fan_in_at_least")[0].weight.std().item() == pytest.approx(0.1, rel=0.02)
