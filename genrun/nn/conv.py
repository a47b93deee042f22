"""Networks of strided convolutions, from images to vectors (encoders, discriminators) and back (decoders, generators)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from genrun.nn.strided import StridedConv2d, StridedConvTranspose2d

Activation = Literal["relu", "leaky_relu", "silu"]

SMALLEST_SIDE = 7  # pixels; halving stops when the longer side is this short


class ConvEncoder(nn.Module):
    """4×4 convolutions with a stride of 2 and w, 2w, 4w, … channels down to 7 pixels or less, then linear layers.

    Args:
        image_shape: (C, H, W).
        outputs: length of the vector.
        width: w.
        hidden: units of a linear layer between the convolutions and the last layer; 0: no such layer.
        activation: after every layer except the last.
        batch_norm: normalise the channels over the batch, after every convolution except the first.
        hidden_batch_norm: normalise the hidden units over the batch too.
        batch_deviation: the last linear layer also sees the mean standard deviation over the batch, which shows when all images are alike
            (Karras et al., Progressive growing of GANs, 2018).
        spectral_norm: divide every layer's weights by their largest singular value (Miyato et al., 2018).
        convolutions: number of convolutions; None: as many as lead to 7 pixels or less.

    Shape: (n, C, H, W) → (n, outputs).
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        outputs: int,
        width: int = 32,
        hidden: int = 0,
        activation: Activation = "leaky_relu",
        batch_norm: bool = False,
        batch_deviation: bool = False,
        spectral_norm: bool = False,
        hidden_batch_norm: bool = False,
        convolutions: int | None = None,
    ) -> None:
        super().__init__()
        before, *_ = image_shape
        sizes = halvings(image_shape, convolutions)
        layers: list[nn.Module] = []
        for place in range(len(sizes) - 1):
            after = width * 2**place
            layers.append(with_norm(StridedConv2d(before, after, 4, stride=2, padding=1), spectral_norm))
            layers += [nn.BatchNorm2d(after)] if batch_norm and place else []
            layers.append(activation_layer(activation))
            before = after
        layers.append(nn.Flatten())
        before *= math.prod(sizes[-1])
        if hidden:
            layers.append(with_norm(nn.Linear(before, hidden), spectral_norm))
            layers += [nn.BatchNorm1d(hidden)] if hidden_batch_norm else []
            layers.append(activation_layer(activation))
            before = hidden
        if batch_deviation:
            layers.append(BatchDeviation())
            before += 1
        self.layers = nn.Sequential(*layers, with_norm(nn.Linear(before, outputs), spectral_norm))
        self.to(memory_format=torch.channels_last)
        self.padding = padding(image_shape, sizes)

    def forward(self, images: Tensor) -> Tensor:
        images = nn.functional.pad(images, self.padding)
        return self.layers(images.contiguous(memory_format=torch.channels_last))


class ConvDecoder(nn.Module):
    """Linear layers to 7 pixels or less, then 4×4 transposed convolutions with a stride of 2 and …, 4w, 2w, w channels, up to the image.

    Args:
        inputs: length of the vector.
        image_shape: (C, H, W).
        width: w.
        hidden: units of a linear layer at the start; 0: no such layer.
        activation: after every layer except the last.
        batch_norm: normalise the channels over the batch, before every transposed convolution.
        hidden_batch_norm: normalise the hidden units over the batch too.
        spectral_norm: divide every layer's weights by their largest singular value (Miyato et al., 2018).
        convolutions: number of transposed convolutions; None: as many as lead from 7 pixels or less.

    Shape: (n, inputs) → (n, C, H, W).
    """

    def __init__(
        self,
        inputs: int,
        image_shape: Sequence[int],
        width: int = 32,
        hidden: int = 0,
        activation: Activation = "relu",
        batch_norm: bool = False,
        hidden_batch_norm: bool = False,
        spectral_norm: bool = False,
        convolutions: int | None = None,
    ) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        sizes = halvings(image_shape, convolutions)
        channels = [width * 2**place for place in reversed(range(len(sizes) - 1))]
        layers: list[nn.Module] = []
        if hidden:
            layers.append(with_norm(nn.Linear(inputs, hidden), spectral_norm))
            layers += [nn.BatchNorm1d(hidden)] if hidden_batch_norm else []
            layers.append(activation_layer(activation))
            inputs = hidden
        start = (channels[0], *sizes[-1])
        layers += [with_norm(nn.Linear(inputs, math.prod(start)), spectral_norm), nn.Unflatten(1, start)]
        for before, after in pairwise([*channels, None]):
            layers += [nn.BatchNorm2d(before)] if batch_norm else []
            grown = StridedConvTranspose2d(before, after or image_shape[0], 4, 2, padding=1)
            layers += [activation_layer(activation), with_norm(grown, spectral_norm)]
        self.layers = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)

    def forward(self, codes: Tensor) -> Tensor:
        return self.layers(codes)[..., : self.image_shape[1], : self.image_shape[2]]


class ConvAutoencoder(nn.Module):
    """A discriminator that is an autoencoder: its only output is minus the mean absolute error of rebuilding an image (BEGAN).

        x ↦ -1/(CHW) Σ_i |x_i - tanh f_dec(f_enc(x))_i|

    Args:
        image_shape: (C, H, W).
        outputs: 1.
        code_size: units between encoder and decoder.
        width, hidden, activation, batch_norm, hidden_batch_norm, convolutions: of `ConvEncoder` and of `ConvDecoder`.

    Shape: (n, C, H, W) on [-1, 1] → (n, 1).

    Raises:
        ValueError: more than one output is asked for.

    References:
        Berthelot, Schumm and Metz, BEGAN: boundary equilibrium generative adversarial networks, 2017, section 3.1.
    """

    gives_errors = True

    def __init__(
        self,
        image_shape: Sequence[int],
        outputs: int,
        code_size: int = 64,
        width: int = 64,
        hidden: int = 0,
        activation: Activation = "leaky_relu",
        batch_norm: bool = False,
        hidden_batch_norm: bool = False,
        convolutions: int | None = None,
    ) -> None:
        super().__init__()
        if outputs != 1:
            raise ValueError(
                f"an autoencoder as discriminator has one output and knows no classes, got {outputs} outputs; set model.conditional=false"
            )
        options = {"activation": activation, "batch_norm": batch_norm, "hidden_batch_norm": hidden_batch_norm}
        options |= {"width": width, "hidden": hidden, "convolutions": convolutions}
        self.encoder = ConvEncoder(image_shape, code_size, **options)
        self.decoder = ConvDecoder(code_size, image_shape, **options)

    def forward(self, images: Tensor) -> Tensor:
        error = (images - self.decoder(self.encoder(images)).tanh()).abs()
        return -error.flatten(1).mean(1, keepdim=True)


class BatchDeviation(nn.Module):
    """Append the mean over the D features of their standard deviations over the batch: (n, D) → (n, D + 1)."""

    def forward(self, x: Tensor) -> Tensor:
        deviation = x.var(0, unbiased=False).add(1e-8).sqrt().mean()
        return torch.cat([x, deviation.expand(len(x), 1)], 1)


def halvings(image_shape: Sequence[int], count: int | None = None) -> list[tuple[int, int]]:
    """Return (H, W) of an image and of each halving, rounded up: at least one halving, until the longer side has 7 pixels or less.

    Args:
        count: number of halvings; None: as many as that takes.

    Raises:
        ValueError: there is no halving.
    """
    if count is not None and count < 1:
        raise ValueError(f"convolutions: expected at least 1, got {count}")
    sizes = [tuple(image_shape[1:])]
    while len(sizes) == 1 or (max(sizes[-1]) > SMALLEST_SIDE if count is None else len(sizes) <= count):
        sizes.append(tuple((side + 1) // 2 for side in sizes[-1]))
    return sizes


def padding(image_shape: Sequence[int], sizes: list[tuple[int, int]]) -> tuple[int, int, int, int]:
    """Return how many zeros to add (left, right, top, bottom), so that every halving is exact."""
    below, right = (last * 2 ** (len(sizes) - 1) - side for last, side in zip(sizes[-1], image_shape[1:], strict=True))
    return 0, right, 0, below


def with_norm(layer: nn.Module, spectral: bool) -> nn.Module:
    """Return the layer, with spectral normalisation if `spectral` is true."""
    return spectral_norm(layer) if spectral else layer


def activation_layer(activation: Activation) -> nn.Module:
    """Return the activation layer of this name."""
    return {"relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(0.2), "silu": nn.SiLU()}[activation]
