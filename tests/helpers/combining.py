"""A method whose codes are the pixels: it combines, reconstructs and encodes, and its tries are known."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from genrun.errors import Failed
from genrun.types import Generations


class Averages(nn.Module):
    """Averages training images of a class.

    The latent check takes one try and two in class 0. The image check takes a try more for each class. `kept` combinations of 5 fail.
    """

    device = torch.device("cpu")

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.images, self.labels = images, labels
        self.image_shape, self.num_classes = tuple(images.shape[1:]), int(labels.max()) + 1
        self.asked: list[tuple[int, str, bool, int]] = []  # sources, spread, checked, images of each call

    def num_parameters(self) -> int:
        return 0

    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return images.flatten(1)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return (0.9 * images + 0.02).clamp(0, 1)

    def combine(
        self, labels: Tensor, *, sources: int, spread: str, checked: bool = True, generator: Generator | None = None
    ) -> Generations:
        self.asked.append((sources, spread, checked, len(labels)))
        if (sources, spread) == (5, "kept"):
            raise Failed("class a: no combination passes the checks")
        of_class = [(self.labels == label).nonzero().squeeze(1) for label in range(self.num_classes)]
        picked = [of_class[k][torch.randint(len(of_class[k]), (sources,), generator=generator)] for k in labels]
        images = torch.stack([self.images[index].mean(0) for index in picked])
        latent, tries = 1 + (labels == 0).long(), 2 + labels
        ones = torch.ones_like(labels)
        return Generations(images, images.flatten(1), latent if checked else ones, tries if checked else ones)
