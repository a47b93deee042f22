"""What this machine can do: floating-point operations a second of one large matrix product, and of one large convolution."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from scripts.bench.measuring import seconds_of

SIDE = 4096  # of the matrices
IMAGES, PIXELS = 64, 28
CHANNELS = (64, 128, 256)
LAYOUTS = {"": torch.contiguous_format, ", channels last": torch.channels_last}
TIMES = 3


@dataclass(frozen=True)
class Product:
    """A product of large tensors.

    Args:
        name: of the product.
        operations: floating-point operations, two for each multiplication.
        work: computes it.
    """

    name: str
    operations: int
    work: Callable[[], object]

    def speed(self) -> float:
        """Return the operations a second: the median of some calls."""
        with torch.no_grad():
            self.work()
            return self.operations / statistics.median(seconds_of(self.work) for _ in range(TIMES))


def fastest(dtype: torch.dtype, share: float = 1.0) -> Product:
    """Return the product that reaches the most operations a second in this precision.

    Args:
        share: of the sizes.
    """
    return max(products(dtype, share), key=Product.speed)


def products(dtype: torch.dtype, share: float) -> Iterator[Product]:
    """Yield a product of square matrices, and 3×3 convolutions of some numbers of channels in both memory formats."""
    side, n = round(SIDE * share), round(IMAGES * share)
    a, b = torch.randn(2, side, side).to(dtype)
    yield Product(f"a product of {side}×{side} matrices", 2 * side**3, lambda: a @ b)
    for channels in CHANNELS:
        operations = 2 * n * PIXELS**2 * 9 * channels**2
        x, w = torch.randn(n, channels, PIXELS, PIXELS).to(dtype), torch.randn(channels, channels, 3, 3).to(dtype)
        for name, layout in LAYOUTS.items():
            images, weight = x.contiguous(memory_format=layout), w.contiguous(memory_format=layout)
            work = lambda images=images, weight=weight: F.conv2d(images, weight, padding=1)  # noqa: E731
            yield Product(f"a 3×3 convolution of {channels} channels{name}", operations, work)
