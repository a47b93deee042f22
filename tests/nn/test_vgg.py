"""ReGene's networks: the tables of the document, and their geometry for other sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genrun.nn.vgg import VGGDecoder, VGGEncoder, halvings

DOCUMENT = {"filters": (128, 128, 128)}


def convolutions(network) -> list[tuple[int, int, int]]:
    """(filters before, filters after, side) of each convolution."""
    return [
        (one.in_channels, one.out_channels, one.kernel_size[0])
        for one in network.modules()
        if isinstance(one, nn.Conv2d)
    ]


def sizes_of(decoder: VGGDecoder, inputs: int) -> list[int]:
    """The height of the map after each layer that changes it."""
    maps, seen = torch.zeros(1, inputs), []
    for layer in decoder.eval().layers:
        maps = layer(maps)
        if not seen or seen[-1] != maps.shape[2]:
            seen.append(maps.shape[2])
    return seen


@pytest.mark.parametrize(
    ("shape", "kernels", "sides", "size"),
    [
        ((1, 28, 28), None, [3] * 6, 1152),  # table A.5
        ((3, 64, 64), None, [3] * 7, 2048),  # A.6
        ((3, 32, 32), [9, 11], [3, 3, 3, 3, 9, 11], 2048),  # A.7
    ],
)
def test_the_encoders_of_the_tables(shape, kernels, sides, size):
    encoder = VGGEncoder(shape, kernels=kernels, **DOCUMENT)
    found = convolutions(encoder)
    assert [side for _, _, side in found] == sides and found[0][0] == shape[0]
    assert {after for _, after, _ in found} == {128} and encoder.num_features == size
    assert encoder(torch.rand(2, *shape)).shape == (2, size)
    # convolution, normalisation, activation
    kinds = [type(layer).__name__ for layer in encoder.layers]
    assert kinds[:4] == ["Conv2d", "BatchNorm2d", "LeakyReLU", "Conv2d"] and kinds[6] == "MaxPool2d"


@pytest.mark.parametrize(
    ("shape", "size", "filters", "sizes"),
    [
        ((1, 28, 28), 1152, [512] * 3 + [256] * 6, [3, 5, 7, 14, 28]),
        ((3, 64, 64), 2048, [512] * 3 + [256] * 12, [4, 8, 16, 32, 64]),
        ((3, 32, 32), 2048, [512] * 3 + [256] * 9, [4, 8, 16, 32]),
    ],
)
def test_the_decoders_of_the_tables(shape, size, filters, sizes):
    decoder = VGGDecoder(size, shape, channels=3)
    found = convolutions(decoder)
    assert [after for _, after, _ in found] == [*filters, 3] and {side for _, _, side in found} == {3}
    assert found[0][0] == 128 and sizes_of(decoder, size) == sizes
    kinds = [type(layer).__name__ for layer in decoder.layers]
    assert kinds[1:4] == ["Conv2d", "LeakyReLU", "BatchNorm2d"] and kinds[-1] == "Conv2d"


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 12), (1, 15, 15), (3, 28, 28), (3, 32, 48), (3, 128, 128)])
@pytest.mark.parametrize("blocks", [None, 2])
def test_any_size_is_decoded_to_itself(shape, blocks):
    encoder = VGGEncoder(shape, width=1 / 32, blocks=blocks)
    decoder = VGGDecoder(encoder.num_features, shape, width=1 / 128, blocks=blocks)
    images = torch.rand(2, *shape)
    codes = encoder(images)
    assert codes.shape == (2, encoder.num_features)
    assert decoder(codes).shape == images.shape


@pytest.mark.parametrize(("shape", "start"), [((3, 32, 32), (1, 1)), ((1, 28, 28), (3, 3)), ((3, 8, 12), (2, 3))])
def test_a_code_that_is_no_map_is_decoded_from_fewer_pixels(shape, start):
    decoder = VGGDecoder(342, shape, width=1 / 64)
    assert decoder.layers[0].unflattened_size[1:] == start and decoder(torch.rand(2, 342)).shape == (2, *shape)


def test_halvings():
    assert halvings((1, 28, 28)) == [(28, 28), (14, 14), (7, 7), (3, 3)]
    assert halvings((3, 128, 128))[-1] == (4, 4) and len(halvings((3, 128, 128))) == 6
    assert halvings((3, 32, 32), 6)[-1] == (1, 1)
    with pytest.raises(ValueError, match="an image of 32×32 pixels has no 7 blocks"):
        halvings((3, 32, 32), 7)


def test_table_1():
    """Latent sizes of four, five and six blocks on CIFAR-10, and one or three convolutions in each."""
    for blocks, size in ((4, 2048), (5, 512), (6, 128)):
        for count in (1, 3):
            encoder = VGGEncoder((3, 32, 32), blocks=blocks, convolutions=count, **DOCUMENT)
            assert encoder.num_features == size and len(convolutions(encoder)) == blocks * count


def test_width_scales_the_filters():
    assert [after for _, after, _ in convolutions(VGGEncoder((1, 28, 28), width=0.25, **DOCUMENT))] == [32] * 6
    assert convolutions(VGGDecoder(1152, (1, 28, 28), width=0.5))[0][1] == 256


def test_glorot():
    torch.manual_seed(0)
    encoder = VGGEncoder((1, 28, 28), init="glorot", **DOCUMENT)
    conv = encoder.layers[3]
    bound = (6 / (9 * 128 + 9 * 128)) ** 0.5
    assert not conv.bias.any() and 0.98 * bound < conv.weight.abs().max() <= bound


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: VGGEncoder((1, 28, 28), 32), "a code of this encoder has 1152 numbers, got code_size 32"),
        (lambda: VGGEncoder((1, 28, 28), kernels=[3]), "expected 2 odd sides"),
        (lambda: VGGEncoder((1, 28, 28), kernels=[3, 4]), "expected 2 odd sides"),
        (lambda: VGGEncoder((1, 28, 28), filters=(8, 8)), "expected three numbers of filters"),
        (lambda: VGGEncoder((1, 28, 28), kernels=[3, -1]), "expected 2 odd sides"),
        (lambda: VGGEncoder((1, 28, 28), convolutions=0), r"model\.encoder\.convolutions: expected at least 1, got 0"),
        (
            lambda: VGGDecoder(1000, (1, 28, 28), blocks=4),
            "begins at 3×3 pixels: a code of 1000 numbers has no such map",
        ),
        (lambda: VGGDecoder(1152, (1, 28, 28), channels=0), "expected numbers of filters and channels, at least 1"),
    ],
)
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
