"""A figure with one sample of each class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from genrun.figures.grid import LINE, beside, magnified, picture

MOST = 10  # classes shown
SIDE = 96  # pixels, approximate length of an image's longer side


def sorted_classes(
    images: Tensor, labels: Tensor, confidences: Tensor, class_names: Sequence[str], certain: float = 0.995
) -> Image.Image:
    """Draw the first image of each predicted class, in the order of the classes, with the classifier's confidence.

    The image is the first of its class, not the best. A class without images has an empty cell. If there are more than ten
    classes, ten evenly spaced ones are shown.

    Args:
        images: (n, C, H, W), uint8 or floats in [0, 1], in the order in which they were sampled.
        labels: (n,) the predicted class of each image.
        confidences: (n,) the probability of this class.
        class_names: names of all classes.
        certain: an image with a lower confidence is called uncertain.

    Raises:
        ValueError: no images, or different numbers of images, labels and confidences.
    """
    if not len(images) == len(labels) == len(confidences) > 0:
        raise ValueError(
            f"expected images with a label and a confidence each, got {len(images)} images, {len(labels)} labels and "
            f"{len(confidences)} confidences"
        )
    height, width = images.shape[2:]
    scale = max(1, round(SIDE / max(height, width)))
    cells, captions = [], []
    for k in torch.linspace(0, len(class_names) - 1, min(MOST, len(class_names))).round().int().tolist():
        places = (labels == k).nonzero().flatten().tolist()
        shown = picture(images[places[0]] if places else torch.full(images.shape[1:], LINE, dtype=torch.uint8))
        cells.append(magnified(shown, scale * height))
        if not places:
            said = f"none of {len(images):,}"
        elif (confidence := float(confidences[places[0]])) < certain:
            said = f"uncertain {confidence:.2f}"
        else:
            said = f"{confidence:.4f}"
        captions.append(f"{class_names[k]}\n{said}")
    return beside(cells, captions)
