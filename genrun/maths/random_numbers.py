"""Random tensors, from an explicit generator or from the global stream, which belongs to training.

If several processes share a batch, each process draws the numbers for the whole batch and keeps those of its own images. So an image
gets the same numbers for any number of processes.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from genrun.maths.sharding import own_rows, whole_shape


def normal_like(tensor: Tensor, generator: Generator | None = None) -> Tensor:
    """Draw standard normal numbers with the shape, type and device of the tensor."""
    shape = whole_shape(tensor.shape)
    return own_rows(torch.randn(shape, generator=generator, device=tensor.device, dtype=tensor.dtype))


def uniform_each(images: Tensor, generator: Generator | None = None, dtype: torch.dtype | None = None) -> Tensor:
    """Draw a uniform number in [0, 1) for each of the images (n, …), on their device: (n,), of torch's default type if none is given."""
    shape = whole_shape(images.shape)[:1]
    return own_rows(torch.rand(shape, generator=generator, device=images.device, dtype=dtype))


def bernoulli(probabilities: Tensor, generator: Generator | None = None) -> Tensor:
    """Draw 1 with these probabilities, otherwise 0, with their shape, type and device.

    Without a generator, the global stream of training is used, with 16 random bits per number instead of 24. This takes less than half
    the time; the probabilities are rounded to multiples of 2⁻¹⁶.
    """
    shape, device = whole_shape(probabilities.shape), probabilities.device
    if generator is not None:
        uniform = own_rows(torch.rand(shape, generator=generator, device=device, dtype=probabilities.dtype))
    else:
        n = shape.numel()
        bits = torch.empty((n + 3) // 4, dtype=torch.int64, device=device).random_(-(2**63), None)
        uniform = own_rows(bits.view(torch.int16)[:n].view(shape)).to(probabilities)
        uniform.add_(2**15 + 0.5).mul_(2**-16)  # the middles of 2¹⁶ equal parts of (0, 1)
    return torch.lt(uniform, probabilities, out=uniform)
