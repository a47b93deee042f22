"""Random tensors by an explicit generator, or from the global stream, which is training's.

Of a batch that several processes share each draws the numbers for all its images and keeps those of its own, so that an image meets
the same numbers however many processes there are.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from genrun.maths.sharding import own_rows, whole_shape


def normal_like(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Standard normal numbers, of the tensor's shape, type and device."""
    shape = whole_shape(tensor.shape)
    return own_rows(torch.randn(shape, generator=generator, device=tensor.device, dtype=tensor.dtype))


def uniform_each(images: Tensor, generator: Generator | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """A number from [0, 1) for each of the images (n, …), on their device: (n,), of torch's default type when none is given."""
    shape = whole_shape(images.shape)[:1]
    return own_rows(torch.rand(shape, generator=generator, device=images.device, dtype=dtype))


def bernoulli(probabilities: Tensor, generator: Generator | None = None) -> Tensor:
    """1 with these probabilities, 0 otherwise, of their shape, type and device.

    Without a generator, so from the global stream, which is training's, 16 random bits decide instead of 24: less than half the time,
    for probabilities that are rounded to multiples of 2⁻¹⁶.
    """
    shape, device = whole_shape(probabilities.shape), probabilities.device
    if generator is not None:
        uniform = own_rows(torch.rand(shape, generator=generator, device=device, dtype=probabilities.dtype))
    else:
        n = shape.numel()
        bits = torch.empty((n + 3) // 4, dtype=torch.int64, device=device).random_(-(2**63), None)
        uniform = own_rows(bits.view(torch.int16)[:n].view(shape)).to(probabilities)
        uniform.add_(2**15 + 0.5).mul_(2**-16)  # at the middles of 2¹⁶ equal parts of (0, 1)
    return torch.lt(uniform, probabilities, out=uniform)
