"""The spaces in which images are compared: a classifier's features, and some that no label has shaped."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.evaluation.cache import hash_of
from genrun.system.console import with_progress

CHUNK = 500  # images that a network sees at a time
SHOWN = 10  # chunks; progress is shown of more


def exact_convolutions() -> contextlib.AbstractContextManager:
    """On a GPU: no TensorFloat-32 and the same algorithm each time, so that its features may stand beside a CPU's."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


class Space:
    """A frozen network whose outputs are compared in place of pixels.

    Args:
        name: what tables call it.
        network: (n, C, H, W) in [0, 1] → (n, num_features), by its method `features` where it has one.
        device: where it works; features come back to the CPU.
    """

    def __init__(self, name: str, network: nn.Module, device: torch.device) -> None:
        self.name = name
        # on a CPU convolutions are faster by a third with the channels last
        self.network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        self.num_features: int = network.num_features
        self.device = device
        self.hash = hash_of(network)

    @torch.no_grad()
    def __call__(
        self, images: Tensor | Iterable[Tensor], console: Console | None = None, what: str = "", n: int | None = None
    ) -> Tensor:
        """Images (n, C, H, W) uint8, or parts of them → features (n, d) float32 on the CPU.

        Args:
            what: said beside the progress, of more than some images.
            n: how many images there are, where they come in parts.
        """
        embed = getattr(self.network, "features", self.network)
        parts = images.split(CHUNK) if isinstance(images, Tensor) else images
        chunks = -(-(len(images) if n is None else n) // CHUNK)
        made = [torch.empty(0, self.num_features)]
        with exact_convolutions():
            for part in with_progress(parts, chunks, what, console) if console and chunks > SHOWN else parts:
                floats = part.to(self.device).float().div_(255).contiguous(memory_format=torch.channels_last)
                made.append(embed(floats).float().cpu())
        return torch.cat(made)


class RandomConvolutions(nn.Module):
    """Two layers of random convolutions, pooled and projected; (n, C, H, W) in [0, 1] → (n, num_features).

        conv 5×5, ReLU → mean over 2×2 → conv 3×3, ReLU → mean over a grid of 4×4 cells → orthogonal projection

    A classifier's features may overlook whatever its classes do not depend on, noise above all; these were shaped by nothing. The
    weights are Gaussian with variance 2/fan-in, drawn from a stream of numpy's that never changes, so that every machine has the same.

    References:
        Naeem et al., Reliable fidelity and diversity metrics for generative models, 2020, section 4 (random embeddings).
    """

    def __init__(self, image_shape: tuple[int, int, int], num_features: int = 128, widths: tuple[int, int] = (32, 64)):
        super().__init__()
        self.num_features = num_features
        stream = np.random.RandomState(0)
        first, second = widths

        def gaussian(*shape: int) -> Tensor:
            fan_in = int(np.prod(shape[1:]))
            return torch.from_numpy(stream.standard_normal(shape) * (2 / fan_in) ** 0.5)

        self.grid = [min(4, side // 2) for side in image_shape[1:]]
        cells = second * self.grid[0] * self.grid[1]
        self.register_buffer("first", gaussian(first, image_shape[0], 5, 5).float())
        self.register_buffer("second", gaussian(second, first, 3, 3).float())
        rows = torch.linalg.qr(gaussian(cells, num_features))[0]
        self.register_buffer("projection", rows.float())

    def forward(self, images: Tensor) -> Tensor:
        """(n, C, H, W) in [0, 1] → (n, num_features)."""
        hidden = F.avg_pool2d(F.conv2d(images, self.first, padding=2).relu(), 2)
        hidden = F.conv2d(hidden, self.second, padding=1).relu()
        return F.adaptive_avg_pool2d(hidden, self.grid).flatten(1) @ self.projection
