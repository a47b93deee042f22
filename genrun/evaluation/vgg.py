"""Features of VGG-16 that was trained on ImageNet, if its weights are on disk. Nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.nn.perceptual import damaged, first_layer, path_of

SIDE = 64  # pixels, side to which images are resized


def vgg_weights() -> Path | None:
    """Return the file with VGG-16's weights, or None if it is not on disk."""
    path = path_of("vgg")
    return path if path.is_file() else None


class VGGFeatures(nn.Module):
    """What the last pooling of VGG-16's convolutions gives for images of 64×64 pixels: (n, C, H, W) in [0, 1] → (n, 2048).

    Grey images are repeated to three channels.

    Args:
        weights: the file of torchvision's weights.

    References:
        Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, 2015.

    Raises:
        Refused: the file is damaged, or holds other weights.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from torchvision.models import vgg16

        with torch.device("meta"):  # no random weights, which would change the global random state
            convolutions = vgg16(weights=None, init_weights=False).features
        try:
            loaded = torch.load(weights, map_location="cpu", weights_only=True)
            of_convolutions = {
                name.removeprefix("features."): value for name, value in loaded.items() if name.startswith("features.")
            }
            convolutions.load_state_dict(of_convolutions, assign=True)
        except Exception as error:  # torch raises a dozen types for a damaged or foreign file
            raise damaged(weights, "vgg", error, "delete it") from None
        self.convolutions = convolutions.eval().requires_grad_(False)
        of_imagenet = first_layer("vgg")
        self.register_buffer("mean", torch.tensor(of_imagenet.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(of_imagenet.deviation).view(3, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        images = images.float().expand(-1, 3, -1, -1)
        images = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        return self.convolutions((images - self.mean) / self.deviation).flatten(1)
