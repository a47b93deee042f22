"""The feature spaces in which images are compared: a trained network's, and random convolutions, which use no labels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.evaluation.cache import hash_of
from genrun.evaluation.limits import NUM_FEATURES
from genrun.system.console import with_progress
from genrun.system.turns import in_turn

CHUNK = 500  # images in a forward pass
SHOWN = 10  # with more chunks, progress is shown


def exact_convolutions() -> contextlib.AbstractContextManager:
    """Make a GPU's convolutions exact and repeatable (no TensorFloat-32), so that its features are comparable with a CPU's."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


class Space:
    """A frozen network whose outputs are compared in place of pixels.

    Args:
        name: its name in tables.
        network: (n, C, H, W) in [0, 1] → (n, num_features); its method `features` is called if it has one.
        device: where the network runs; features are returned on the CPU.
    """

    def __init__(self, name: str, network: nn.Module, device: torch.device) -> None:
        self.name = name
        # on a CPU, convolutions are a third faster with the channels last
        self.network = network.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        self.num_features: int = network.num_features
        self.device = device
        self.hash = hash_of(network)

    @torch.no_grad()
    def __call__(
        self, images: Tensor | Iterable[Tensor], console: Console | None = None, what: str = "", n: int | None = None
    ) -> Tensor:
        """Return the features (n, d) float32, on the CPU, of images (n, C, H, W) uint8 or of several parts of them.

        Args:
            console: where progress is shown if there are many images; None: nowhere.
            what: text beside the progress bar.
            n: number of images, if they come in parts.
        """
        embed = getattr(self.network, "features", self.network)
        parts = images.split(CHUNK) if isinstance(images, Tensor) else images
        chunks = -(-(len(images) if n is None else n) // CHUNK)
        made = [torch.empty(0, self.num_features)]
        with exact_convolutions():
            shown = with_progress(parts, chunks, what, console) if console and chunks > SHOWN else parts
            for part in in_turn(shown, self.device.type):
                floats = part.to(self.device).float().div_(255).contiguous(memory_format=torch.channels_last)
                made.append(embed(floats).float().cpu())
        return torch.cat(made)


class RandomConvolutions(nn.Module):
    """A fixed random network: two convolutions, pooled and projected; (n, C, H, W) in [0, 1] → (n, num_features).

        conv 5×5, ReLU → mean over 2×2 → conv 3×3, ReLU → mean over a grid of 4×4 cells → orthogonal projection

    A classifier's features may ignore what its classes do not depend on, above all noise. These features are not trained on
    anything. The weights are Gaussian with variance 2/fan-in. They come from a random stream of numpy
    that never changes, so every machine has the same weights.

    References:
        Naeem et al., Reliable fidelity and diversity metrics for generative models, 2020, section 4 (random embeddings).
    """

    def __init__(
        self, image_shape: tuple[int, int, int], num_features: int = NUM_FEATURES, widths: tuple[int, int] = (32, 64)
    ):
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
        """Return the features (n, num_features) of images (n, C, H, W) in [0, 1]."""
        hidden = F.avg_pool2d(F.conv2d(images, self.first, padding=2).relu(), 2)
        hidden = F.conv2d(hidden, self.second, padding=1).relu()
        return F.adaptive_avg_pool2d(hidden, self.grid).flatten(1) @ self.projection


def orthonormal(rows: int, columns: int) -> Tensor:
    """Return a fixed random matrix (rows, columns) float32 with orthonormal columns, the same on every machine."""
    return torch.linalg.qr(torch.from_numpy(np.random.RandomState(0).standard_normal((rows, columns))))[0].float()
