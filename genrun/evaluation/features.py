"""The spaces in which images are compared: a classifier's features, and some that no label has shaped."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

CHUNK = 500  # images that are seen at a time


class RandomConvolutions(nn.Module):
    """Two layers of random convolutions, pooled and projected; (n, C, H, W) in [0, 1] → (n, num_features).

        conv 5×5, ReLU → mean over 2×2 → conv 3×3, ReLU → mean over a grid of 4×4 cells → orthogonal projection

    A classifier's features may overlook whatever its classes do not depend on, noise above all; these were shaped by nothing. The
    weights are Gaussian with variance 2/fan-in, drawn from a stream of numpy's that never changes, so that every machine has the same.

    References:
        Naeem et al., Reliable fidelity and diversity metrics for generative models, 2020, section 4 (random embeddings).
    """

    name = "random"

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
        hidden = F.avg_pool2d(F.conv2d(images, self.first, padding=2).relu(), 2)
        hidden = F.conv2d(hidden, self.second, padding=1).relu()
        return F.adaptive_avg_pool2d(hidden, self.grid).flatten(1) @ self.projection
