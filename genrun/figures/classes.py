"""What came of each class, in the order of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from genrun.figures.grid import LINE, beside, magnified, picture

MOST = 10  # classes shown
SIDE = 96  # pixels that an image's longer side comes near


def sorted_classes(
    images: Tensor, labels: Tensor, confidences: Tensor, class_names: Sequence[str], certain: float = 0.995
) -> Image.Image:
    """One image of each class, in their order, with the confidence of the classifier that took it for that class.

    It is the first of its class, not the best. A class that none was taken for has an empty cell. Of more than ten classes ten are shown,
    evenly chosen.

    Args:
        images: (n, C, H, W), uint8 or floats in [0, 1], in the order in which they were drawn.
        labels: (n,) the class that each was taken for.
        confidences: (n,) its probability.
        certain: below it an image is called uncertain.

    Raises:
        ValueError: no images, or labels or confidences of another number.
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
