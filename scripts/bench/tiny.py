"""A method whose steps are so short that every overhead shows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genrun.methods.method import Method
from genrun.types import Batch


def classifier() -> nn.Sequential:
    """Return a 784–512–256–10 network."""
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


class TinyClassifier(Method):
    """A 784–512–256–10 network with Adam, for images of 28×28. It has no samples to speak of: they are noise.

    Args:
        image_shape, num_classes: see `Method`.
    """

    def __init__(self, image_shape: Sequence[int], num_classes: int) -> None:
        super().__init__(image_shape, num_classes)
        self.network = classifier()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = F.cross_entropy(self.network(batch.image.flatten(1)), batch.label)
        self.track(loss=loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters())

    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        self.check_labels(n, labels)
        return torch.rand(n, *self.image_shape, generator=generator)
