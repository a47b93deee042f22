"""A figure of images and the closest matches of each, found in several ways."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image
from torch import Tensor

from genrun.figures.grid import beside, image_grid

WIDTH, HEIGHT = 1100, 900  # pixels: approximate width and largest height of all grids together


def matches(images: Tensor, name: str, found: Mapping[str, Tensor]) -> Image.Image:
    """Draw a row for each image: the image, then its matches, a grid for each way in which they were found.

    Args:
        images: (n, C, H, W) in [0, 1].
        name: the caption below these images.
        found: caption → (n, k, C, H, W), the closest match first.
    """
    height, width = images.shape[2:]
    columns = 1 + sum(one.shape[1] for one in found.values())
    scale = max(1, min(round(WIDTH / (columns * width)), HEIGHT // (len(images) * height)))
    grids = [image_grid(images, 1, scale=scale)]
    grids += [image_grid(one.flatten(0, 1), one.shape[1], scale=scale) for one in found.values()]
    return beside(grids, [name, *found])
