"""Features of VGG-16 that was trained on ImageNet, if its weights are on disk. Nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WEIGHTS = "vgg16-397923af.pth"  # torchvision's file, in torch.hub's download folder
SIDE = 64  # pixels, side to which images are resized
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels


def vgg_weights() -> Path | None:
    """Return the file with VGG-16's weights, or None if it is not on disk."""
    path = Path(torch.hub.get_dir(), "checkpoints", WEIGHTS)
    return path if path.is_file() else None


class VGGFeatures(nn.Module):
    """What the last pooling of VGG-16's convolutions gives for images of 64×64 pixels: (n, C, H, W) in [0, 1] → (n, 2048).

    Grey images are repeated to three channels.

    Args:
        weights: the file of torchvision's weights.

    References:
        Simonyan and Zisserman, Very deep convolutional networks for large-scale image recognition, 2015.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from torchvision.models import vgg16

        with torch.device("meta"):  # no random weights, which would change the global random state
            convolutions = vgg16(weights=None, init_weights=False).features
        loaded = torch.load(weights, map_location="cpu", weights_only=True)
        of_convolutions = {
            name.removeprefix("features."): value for name, value in loaded.items() if name.startswith("features.")
        }
        convolutions.load_state_dict(of_convolutions, assign=True)
        self.convolutions = convolutions.eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor(MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        images = images.float().expand(-1, 3, -1, -1)
        images = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        return self.convolutions((images - self.mean) / self.deviation).flatten(1)
