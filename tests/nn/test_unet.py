"""The denoisers: any image's shape, gradients everywhere, attention by hand, no image that sees its neighbours."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from helpers.networks import as_if_trained, every_shape, normal, times

from genrun.nn.gated_unet import GatedUNet
from genrun.nn.unet import Attention, UNet

DENOISERS = {
    "unet": partial(UNet, widths=(8, 16), embedding=16),
    "unet-deep": partial(UNet, widths=(8, 8, 16), blocks=2, patch=1, embedding=16),
    "gated_unet": partial(GatedUNet, width=4, time_size=8),
}
every_denoiser = pytest.mark.parametrize("kind", DENOISERS.values(), ids=DENOISERS)


@every_denoiser
@every_shape
def test_a_denoiser_answers_in_the_shape_of_its_images(kind, shape):
    network = as_if_trained(kind(shape, 3))
    x = normal(2, *shape)
    out = network(x, times(2), torch.tensor([0, 3]))
    assert out.shape == x.shape and out.isfinite().all() and out.std() > 0
    assert kind(shape, 0)(x.float(), times(2).float()).shape == x.shape


@every_denoiser
@every_shape
def test_an_image_alone_is_treated_as_among_others(kind, shape):
    network = as_if_trained(kind(shape, 3)).eval()
    x, labels = normal(3, *shape), torch.tensor([2, 0, 3])
    together = network(x, times(3), labels)
    for k in range(3):
        torch.testing.assert_close(network(x[k : k + 1], times(3)[k : k + 1], labels[k : k + 1])[0], together[k])


@every_denoiser
def test_time_and_label_matter_and_no_label_is_the_label_num_classes(kind):
    network = as_if_trained(kind((1, 8, 8), 3)).eval()
    x = normal(2, 1, 8, 8)
    none = network(x, times(2))
    torch.testing.assert_close(none, network(x, times(2), torch.tensor([3, 3])), rtol=0, atol=0)
    assert not torch.allclose(none, network(x, times(2), torch.tensor([0, 3])))
    assert not torch.allclose(none, network(x, times(2) + 1))


@every_denoiser
def test_after_two_steps_every_parameter_has_a_gradient(kind):
    """Not before: a U-Net's blocks start as their shortcuts and its output as zero."""
    torch.manual_seed(0)
    network = kind((1, 8, 8), 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    x, target, labels = normal(8, 1, 8, 8).float(), normal(8, 1, 8, 8, seed=1).float(), torch.arange(8) % 4
    for _ in range(3):
        optimizer.zero_grad()
        (network(x, times(8).float(), labels) - target).square().mean().backward()
        without = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
        optimizer.step()
    assert not without


def test_a_unet_starts_at_zero():
    assert not UNet((1, 8, 8), 0, widths=(8, 16))(normal(2, 1, 8, 8).float(), times(2).float()).any()


def test_widths_that_do_not_divide_are_refused():
    for widths, heads in (((8, 12), 4), ((8, 16), 3)):
        with pytest.raises(ValueError, match=rf"model\.network\.widths: expected multiples of 8 and of {heads} heads"):
            UNet((1, 8, 8), 0, widths=widths, heads=heads)


def test_attention_is_its_formula():
    """x + W_o softmax(QᵀK/√d) V, for each head, in numpy."""
    layer = as_if_trained(Attention(16, heads=2))
    x = normal(2, 16, 3, 2)
    found = layer(x).detach().numpy()
    weight, bias = layer.norm.weight.detach().numpy(), layer.norm.bias.detach().numpy()
    for image, expected in zip(x.numpy(), found, strict=True):
        groups = image.reshape(8, 2, 6)
        groups = (groups - groups.mean((1, 2), keepdims=True)) / np.sqrt(groups.var((1, 2), keepdims=True) + 1e-5)
        h = groups.reshape(16, 6) * weight[:, None] + bias[:, None]
        qkv = layer.qkv.weight.detach().numpy()[:, :, 0, 0] @ h + layer.qkv.bias.detach().numpy()[:, None]
        heads = []
        for head in range(2):
            q, k, v = (qkv[16 * part + 8 * head : 16 * part + 8 * head + 8] for part in range(3))
            scores = np.exp(q.T @ k / math.sqrt(8))
            heads.append(v @ (scores / scores.sum(1, keepdims=True)).T)
        out = layer.out.weight.detach().numpy()[:, :, 0, 0] @ np.concatenate(heads)
        out = image + (out + layer.out.bias.detach().numpy()[:, None]).reshape(16, 3, 2)
        np.testing.assert_allclose(expected, out, rtol=1e-9, atol=1e-12)
