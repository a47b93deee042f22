"""Images that a method makes, in the form in which the judge compares images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genrun.evaluation.metrics.frechet import frechet_distance, moments
from genrun.figures.grid import to_uint8
from genrun.inference import labels_for
from genrun.types import Reconstructs

if TYPE_CHECKING:
    from genrun.data.images import Images


def as_pixels(images: Tensor) -> Tensor:
    """Round images (n, C, H, W) in [0, 1] to 8 bits, as saved samples are: (n, C, H, W) uint8 on the CPU."""
    return torch.from_numpy(to_uint8(images)).permute(0, 3, 1, 2)


def reconstructed(method: Reconstructs, images: Images, chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and their reconstructions in chunks: twice (n, C, H, W) in [0, 1], on the method's device."""
    for part in torch.arange(len(images)).split(chunk):
        originals = images.images(part).to(method.device)
        yield originals, method.reconstruct(originals, labels_for(images.labels[part], method)).detach()


def distance_of(features: Tensor, reference: Tensor) -> float | None:
    """Return the Fréchet distance of features (n, d) and (m, d); None if either has too few images for a covariance."""
    if min(len(features), len(reference)) <= features.shape[1]:
        return None
    return frechet_distance(moments(features), moments(reference))
