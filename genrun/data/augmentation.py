"""Random changes of the training images: mirrored and shifted, another way each time that an image is seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genrun.errors import Refused
from genrun.maths.random_numbers import uniform_each


@dataclass(frozen=True)
class Augmentation:
    """Mirror and shift the images of a batch, each image at random and apart from the others.

        out[i, j] = image[r(i - a), r(j - b)],   then, with probability 1/2, out[i, j] ← out[i, W - 1 - j]

    a and b are whole numbers, uniform in -shift … shift. r reflects a place outside the image at its border, whose pixels are not
    repeated: r(-1) = 1. So no value is made that the image does not have.

    Args:
        flip: mirror half of the images, left to right.
        shift: largest number of pixels by which an image is moved, each way; smaller than its sides.

    References:
        Ho et al., Denoising diffusion probabilistic models, 2020, appendix B (random flips of CIFAR-10).
        Karras et al., Training generative adversarial networks with limited data, 2020, appendix B (shifts by whole pixels, reflected).
    """

    flip: bool = False
    shift: int = 0

    def check(self, shape: tuple[int, int, int]) -> None:
        """Check that images of this shape (C, H, W) can be changed so.

        Raises:
            Refused: they cannot.
        """
        side = min(shape[1:])
        if not 0 <= self.shift < side:
            raise Refused(
                f"data.augment.shift: expected pixels from 0 to {side - 1}, less than the side of images of "
                f"{shape[1]}×{shape[2]}, got {self.shift}"
            )
        if self.flip and shape[2] == 1:
            raise Refused("data.augment.flip=true: images of one column have no mirror image; leave it false")

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.flip or self.shift > 0

    def words(self) -> str:
        """Return in words what is done to the training images."""
        done = ["mirrored at random"] * self.flip + [f"shifted by at most {self.shift} pixels"] * (self.shift > 0)
        return f"training images {' and '.join(done)}"

    def __call__(self, images: Tensor) -> Tensor:
        """Return images (n, C, H, W), changed by random numbers of the global stream, which belongs to training."""
        if not self.changes:
            return images
        n, channels, height, width = images.shape
        rows = torch.arange(height, device=images.device).expand(n, height)
        columns = torch.arange(width, device=images.device).expand(n, width)
        if self.shift:
            rows = _reflected(rows - self._steps(images), height)
            columns = _reflected(columns - self._steps(images), width)
        if self.flip:
            mirrored = uniform_each(images).unsqueeze(1) < 0.5
            columns = torch.where(mirrored, columns.flip(1), columns)
        places = (rows.unsqueeze(2) * width + columns.unsqueeze(1)).view(n, 1, height * width)
        return images.flatten(2).gather(2, places.expand(-1, channels, -1)).view_as(images)

    def _steps(self, images: Tensor) -> Tensor:
        """Draw a whole number from -shift to shift for each image: (n, 1)."""
        return (uniform_each(images) * (2 * self.shift + 1)).long().unsqueeze(1) - self.shift


def _reflected(places: Tensor, side: int) -> Tensor:
    """Return the places -side + 1 … 2·side - 2 of a line of pixels, reflected at its ends to 0 … side - 1."""
    return side - 1 - (side - 1 - places.abs()).abs()
