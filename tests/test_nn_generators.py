"""The networks of the generators: any image's shape, gradients everywhere, formulas by hand, no image that sees its neighbours."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from genrun.nn.conv import ConvDecoder, ConvEncoder, halvings
from genrun.nn.embedding import Sinusoids
from genrun.nn.gated_unet import Gated, GatedUNet
from genrun.nn.mlp import MLPDecoder, MLPEncoder
from genrun.nn.muon import Muon
from genrun.nn.unet import Attention, UNet

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 8, 12), (1, 28, 48), (1, 7, 9)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
DENOISERS = {
    "unet": partial(UNet, widths=(8, 16), embedding=16),
    "unet-deep": partial(UNet, widths=(8, 8, 16), blocks=2, patch=1, embedding=16),
    "gated_unet": partial(GatedUNet, width=4, time_size=8),
}
every_denoiser = pytest.mark.parametrize("kind", DENOISERS.values(), ids=DENOISERS)
ENCODERS = {
    "conv": partial(ConvEncoder, width=4, hidden=6),
    "conv-spectral": partial(ConvEncoder, width=4, spectral_norm=True),
    "mlp": partial(MLPEncoder, hidden=(7, 6), leak=0.2),
}
DECODERS = {
    "conv": partial(ConvDecoder, width=4, hidden=6),
    "conv-batch_norm": partial(ConvDecoder, width=4, batch_norm=True),
    "mlp": partial(MLPDecoder, hidden=(6, 7)),
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_if_trained(network: nn.Module) -> nn.Module:
    """In float64, with weights that are nowhere zero."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(std=0.2)
    return network.double()


def times(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.float64) * 37 + 1


# --------------------------------------------------------------------------------------------------------------- denoisers


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


def test_a_gate_shares_out_each_row():
    block = as_if_trained(Gated(3, 5)).eval()
    x = normal(2, 3, 4, 6)
    h = block.body(x) + block.shortcut(x)
    scores = torch.einsum("oc,nchw->nohw", block.gate.weight[:, :, 0, 0], h) + block.gate.bias.view(1, -1, 1, 1)
    shares = scores.exp() / scores.exp().sum(3, keepdim=True)
    torch.testing.assert_close(block(x), h * shares)


# ------------------------------------------------------------------------------------------------------------------- time


def test_sinusoids_are_16():
    found = Sinusoids(10)(torch.tensor([0.0, 3.0, 250.0]))
    omega = 10000 ** (-np.arange(5) / 5)
    t = np.array([[0.0], [3.0], [250.0]])
    np.testing.assert_allclose(found, np.concatenate([np.sin(t * omega), np.cos(t * omega)], 1), atol=2e-5)


def test_averaging_leaves_the_sinusoids_as_they_are():
    """They are not learned: averaged weights must see the same times, and a checkpoint that goes on must, too."""
    network = Sinusoids(64)
    average = AveragedModel(network, avg_fn=EMAWeightAveraging(decay=0.999)._kwargs["avg_fn"], use_buffers=True)
    for _ in range(100):
        average.update_parameters(network)
    at = torch.tensor([1.0, 500.0, 1000.0])
    assert torch.equal(average(at), network(at))


# -------------------------------------------------------------------------------------------------- encoders and decoders


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


def test_muon_moves_kernels_by_orthogonal_matrices_and_the_rest_by_adam():
    torch.manual_seed(0)
    network = UNet((1, 8, 8), 3, widths=(8, 16), heads=2, embedding=16)
    names = {id(weight): name for name, weight in network.named_parameters()}
    optimizer = Muon(network.parameters(), lr=0.5, adam_lr=0.01, adam_betas=(0.9, 0.99))
    kernels, rest = optimizer.param_groups
    of_kernels = {names[id(weight)] for weight in kernels["params"]}
    assert {"before.conv1.weight", "attention.qkv.weight", "grow.0.weight", "down.0.0.conv2.weight"} <= of_kernels
    assert not of_kernels & {"stem.weight", "out.weight", "label.weight", "time.1.weight"}
    assert len(of_kernels) + len(rest["params"]) == len(names)
    for weight in network.parameters():
        weight.grad = torch.randn_like(weight)
    before = [weight.detach().clone() for weight in network.parameters()]
    optimizer.step()
    for old, weight in zip(before, network.parameters(), strict=True):
        step = (weight - old).detach()
        if names[id(weight)] in of_kernels:
            matrix = step.flatten(1)
            scale = 0.5 * max(1, matrix.shape[0] / matrix.shape[1]) ** 0.5
            singular = torch.linalg.svdvals(matrix / scale)
            assert singular.min() > 0.6 and singular.max() < 1.3, names[
                id(weight)
            ]  # five iterations come that near to 1
        else:
            torch.testing.assert_close(step.abs(), torch.full_like(step, 0.01), rtol=0.01, atol=1e-5)  # Adam's first
