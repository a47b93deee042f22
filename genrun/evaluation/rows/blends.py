"""The table of blends: what happens to images when they are replaced by their reconstructions step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from genrun.evaluation.features import Space
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.images import as_pixels, distance_of, reconstructed
from genrun.evaluation.rows.recognition import logits_of
from genrun.types import Reconstructs

if TYPE_CHECKING:
    from genrun.methods.method import Method

STEPS = 10  # from the images to their reconstructions


def blends(
    method: Method, real: RealImages, classifier: Space, space: Space, most: int, chunk: int
) -> list[dict[str, float | int | None]]:
    r"""Blend training images with their reconstructions, and judge the blends beside the images.

        (1 - α) x + α reconstruct(x),   α = 0, 0.1, …, 1

    Args:
        method: the trained method.
        real: the real images.
        classifier: the reference classifier, which recognises the blends.
        space: the feature space of the distances.
        most: training images at most; 0: no table.
        chunk: images at a time.

    Returns:
        For each α the accuracy of the classifier and the Fréchet distance to the images themselves, None if there are too few; empty
        if the method cannot reconstruct.

    References:
        Gopalakrishnan et al., Classify and generate, 2021, section 6.6 and figure 15b.
    """
    if not most or not isinstance(method, Reconstructs):
        return []
    images = real.images("train", most)
    alphas = [step / STEPS for step in range(STEPS + 1)]
    parts: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in alphas]
    for originals, rebuilt in reconstructed(method, images, chunk):
        for alpha, seen in zip(alphas, parts, strict=True):
            blended = as_pixels((1 - alpha) * originals + alpha * rebuilt)
            seen.append((logits_of(classifier, classifier(blended)).argmax(1), space(blended)))
    classes, features = zip(*(map(torch.cat, zip(*seen, strict=True)) for seen in parts), strict=True)
    return [
        {
            "alpha": alpha,
            "accuracy": (predicted == images.labels).double().mean().item(),
            "Fréchet distance": distance_of(each, features[0]),
            "count": len(images),
        }
        for alpha, predicted, each in zip(alphas, classes, features, strict=True)
    ]
