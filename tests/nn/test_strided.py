"""Convolutions with a stride avoid outputs of one pixel in mixed precision, and give the same."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from genrun.nn.conv import ConvDecoder, ConvEncoder
from genrun.nn.strided import StridedConv2d, StridedConvTranspose2d
from genrun.nn.unet import UNet


class Sides(TorchDispatchMode):
    """The sides of maps on the smaller side of each convolution in bfloat16 with a stride, forward and backward."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default and args[0].dtype == torch.bfloat16 and 2 in args[3]:
            transposed = args[6]
            self.seen += (args[0] if transposed else result).shape[2:]
        if func is torch.ops.aten.convolution_backward.default and args[0].dtype == torch.bfloat16 and 2 in args[4]:
            transposed = args[7]
            self.seen += (args[1] if transposed else args[0]).shape[2:]
        return result

    def __enter__(self):
        self.seen: list[int] = []
        return super().__enter__()


def trained_once(network, *inputs) -> Sides:
    with Sides() as sides:
        with torch.autocast("cpu", torch.bfloat16):
            output = network(*inputs)
        output.float().sum().backward()
    return sides


@pytest.mark.parametrize("shape", [(3, 64, 16), (1, 16, 64), (1, 1, 1), (3, 2, 2), (1, 8, 2), (1, 3, 17)])
def test_no_convolution_in_bfloat16_has_a_side_of_one(shape):
    for network, *inputs in (
        (ConvEncoder(shape, 4, width=4), torch.rand(3, *shape)),
        (ConvDecoder(4, shape, width=4), torch.rand(3, 4)),
        (UNet(shape, 0, widths=(8, 16, 8)), torch.rand(3, *shape), torch.rand(3)),
    ):
        seen = trained_once(network, *inputs).seen
        assert len(seen) >= 4 and min(seen) >= 2, type(network)


@pytest.mark.parametrize(("kernel", "padding"), [(4, 1), (3, 1), (5, 2), (2, 0)])
@pytest.mark.parametrize("sides", [(2, 2), (8, 2), (2, 7), (3, 3), (3, 8), (6, 6)])
def test_the_result_is_that_of_the_plain_convolution(kernel, padding, sides):
    torch.manual_seed(0)
    for kind, plain in ((StridedConv2d, torch.nn.Conv2d), (StridedConvTranspose2d, torch.nn.ConvTranspose2d)):
        ours = kind(3, 5, kernel, 2, padding)
        theirs = plain(3, 5, kernel, 2, padding)
        theirs.load_state_dict(ours.state_dict())
        sizes = sides if kind is StridedConv2d else [side // 2 for side in sides]
        images = torch.rand(2, 3, *sizes)
        assert torch.equal(ours(images), theirs(images))  # 32 bits are as ever
        with torch.autocast("cpu", torch.bfloat16):
            made = ours(images)
        expected = theirs(images)
        assert made.shape == expected.shape
        torch.testing.assert_close(made.float(), expected, rtol=0.02, atol=0.02)
