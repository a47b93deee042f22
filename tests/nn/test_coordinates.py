"""Coordinate networks against their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from genrun.nn.coordinates import BasisNetwork, JointNetwork, place_features


def networks():
    torch.manual_seed(0)
    joint = JointNetwork(5, 3, (7, 6), octaves=2).double()
    basis = BasisNetwork(5, 3, (7, 6), 4, (8,), octaves=2).double()
    torch.nn.init.normal_(basis.bias)
    return joint, basis


def entries():
    generator = torch.Generator().manual_seed(1)
    x, places = torch.randn(2, 5, generator=generator), torch.rand(6, 2, generator=generator) * 2 - 1
    return x.double(), places.double()


def test_features_are_octaves_of_sines_and_cosines():
    _, places = entries()
    found = place_features(places, 2)
    assert (
        found.shape == (6, 10) and torch.equal(found[:, :2], places) and torch.equal(place_features(places, 0), places)
    )
    for octave, omega in enumerate((math.pi / 2, math.pi)):
        waves = found[:, 2 + 4 * octave : 6 + 4 * octave]
        torch.testing.assert_close(waves[:, :2], (omega * places).sin())
        torch.testing.assert_close(waves[:, 2:], (omega * places).cos())


@pytest.mark.parametrize("which", [0, 1])
def test_places_of_each_image_may_differ(which):
    network, (x, places) = networks()[which], entries()
    shared, own = network(x, places), network(x, torch.stack([places, places.flip(0)]))
    assert shared.shape == (2, 6, 3)
    torch.testing.assert_close(own[0], shared[0])
    torch.testing.assert_close(own[1].flip(0), shared[1])


def test_a_joint_network_is_a_perceptron_of_image_and_place():
    (joint, _), (x, places) = networks(), entries()
    for i in range(2):
        for j in range(6):
            h = torch.cat([x[i], place_features(places[j], 2)])
            for layer in (0, 2, 4):
                h = joint[layer].weight @ (h if layer == 0 else torch.where(h > 0, h, 0.01 * h)) + joint[layer].bias
            torch.testing.assert_close(joint(x, places)[i, j], h)


def test_a_basis_network_is_the_sum_over_its_functions():
    (_, basis), (x, places) = networks(), entries()
    z, phi = basis.of_image(x).view(2, 3, 4), basis.of_place(place_features(places, 2))
    for c in range(3):
        truth = sum(torch.outer(z[:, c, k], phi[:, k]) for k in range(4)) / 2 + basis.bias[c]
        torch.testing.assert_close(basis(x, places)[..., c], truth)


@pytest.mark.parametrize("which", [0, 1])
def test_the_first_layer_sees_the_image_first(which):
    """What is added to x can be added to the bias of the first layer instead."""
    network, (x, places) = networks()[which], entries()
    moved = network(x + torch.arange(5), places)
    with torch.no_grad():
        network.first.bias += network.first.weight[:, :5] @ torch.arange(5.0).double()
    torch.testing.assert_close(network(x, places), moved)
