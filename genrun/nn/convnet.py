"""A small convolutional network that classifies images."""

from __future__ import annotations

from torch import Tensor, nn


class ConvNet(nn.Module):
    """Five convolutions of w, 2w, 3w, 3w and `num_features` channels, their average over the pixels, and one linear layer.

        x ↦ W f(x) + b,   f(x) = mean over the pixels of (relu ∘ BN ∘ conv)⁵(x)

    The first convolution is 5×5 with a stride of 2; the others are 3×3. As long as the shorter side has more than eight pixels, the
    next convolution is followed by a maximum over 2×2 pixels: none for 8×8, one for 28×28 and 32×32, two for 64×64. So most of
    the work is done on at most 8×8 pixels, where it is cheap.

    Args:
        image_shape: (C, H, W) of the images, 8×8 pixels or more.
        num_classes: number of logits.
        width: w, channels of the first convolution.
        num_features: channels of the last convolution, the length of a feature vector.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], num_classes: int, width: int = 32, num_features: int = 128
    ) -> None:
        super().__init__()
        self.num_features = num_features
        before, *sides = image_shape
        halvings = 1
        while min(sides) >> halvings > 8:
            halvings += 1
        layers: list[nn.Module] = [nn.Conv2d(before, width, 5, stride=2, padding=2, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        before = width
        for place, after in enumerate((2 * width, 3 * width, 3 * width, num_features), start=1):
            layers.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
            if place < halvings:
                layers.append(nn.MaxPool2d(2))  # before BN and ReLU, which then have a quarter of the work
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
            before = after
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(num_features, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Return the feature vectors of images: (n, C, H, W) in [0, 1] → (n, num_features), none negative."""
        return self.body(images).mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images: (n, C, H, W) in [0, 1] → (n, num_classes)."""
        return self.head(self.features(images))
