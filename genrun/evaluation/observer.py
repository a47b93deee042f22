"""The observer: a network in whose features images are compared, because it notices what a person notices.

It is trained once for each data set, when it is first needed, and then frozen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.errors import Refused
from genrun.evaluation.augmentation import augment_invisibly
from genrun.evaluation.classifier import SEED, Recipe
from genrun.evaluation.features import orthonormal
from genrun.evaluation.limits import NUM_FEATURES
from genrun.runs.identity import digest
from genrun.types import Facts

if TYPE_CHECKING:
    from genrun.evaluation.real import RealImages

VERSION = 1  # raise it when the same options would give another network


class Observer(nn.Module):
    """The statistics of all layers of a convolutional network, projected: (n, C, H, W) in [0, 1] → (n, num_features).

        f(x) = [mean and deviation over the pixels of each channel after each ReLU] P,   P with orthonormal columns

    Early layers notice blur and grain, late layers notice a wrong shape. Fog changes the means, blur the deviations.

    Args:
        network: its `body` is a sequence of layers, such as that of `ConvNet`.
        image_shape: (C, H, W) of the images.
        num_features: length of a feature vector.
    """

    def __init__(self, network: nn.Module, image_shape: tuple[int, int, int], num_features: int = NUM_FEATURES) -> None:
        super().__init__()
        self.body = network.body.eval()
        self.num_features = num_features
        with torch.no_grad():
            length = self.statistics(torch.zeros(1, *image_shape)).shape[1]
        self.register_buffer("projection", orthonormal(length, num_features))

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (n, num_features) of images (n, C, H, W) in [0, 1]."""
        return self.statistics(images) @ self.projection

    def statistics(self, images: Tensor) -> Tensor:
        """Return the means, then the deviations, of all channels: (n, 2 · channels of all layers)."""
        means, deviations = [], []
        for layer in self.body:
            images = layer(images)
            if isinstance(layer, nn.ReLU):
                deviation, mean = torch.std_mean(images, (2, 3), correction=0)
                means.append(mean)
                deviations.append(deviation)
        return torch.cat(means + deviations, 1)


class ObserverRecipe(Recipe):
    """How an observer is trained: to tell the classes of images, and which way up they are.

    Its training images are changed as hardly anybody sees, and in no other way: the observer learns to ignore that, and nothing else.
    Which way up an image is can be told without labels; for data without classes it is all that the observer is trained on.

    Args:
        network: (image_shape, num_classes) → a network with `body`, `features`: (n, num_features), and `head`.
        optimizer: parameters → an optimizer. Its learning rate is the largest of the cycle.
        steps: number of training steps.
        epochs: at most so many passes over the images, because small data sets need fewer steps.
        batch_size: images in a step.

    References:
        Gidaris, Singh and Komodakis, Unsupervised representation learning by predicting image rotations, 2018.
    """

    name = "observer"

    def check(self, facts: Facts, steps: int | None = None) -> None:
        super().check(facts, steps)
        network = self.build(facts)
        if not isinstance(getattr(network, "body", None), nn.Sequential):
            raise Refused(
                f"evaluation.observer.network: expected a network with `body`, a sequence of layers, got {type(network).__name__}"
            )
        channels = [len(layer.weight) for layer in network.body if isinstance(layer, nn.Conv2d)]
        if 2 * sum(channels) < NUM_FEATURES:
            raise Refused(
                f"evaluation.observer.network: expected at least {NUM_FEATURES // 2} channels in all layers, got {sum(channels)}; "
                "make it wider"
            )

    def observer(self, real: RealImages, device: torch.device) -> Observer:
        """Return the frozen observer of this data, from the cache or newly trained on the training images."""

        def make() -> dict[str, Tensor]:
            train = real.data.train
            what = f"training the observer on {len(train):,} images"
            return self.train(train, real.facts, what, real.console, device).body.state_dict()

        network = self.build(real.facts)
        network.body.load_state_dict(real.network(f"observer-{digest([self.key(), VERSION], 16)}", make))
        return Observer(network, real.facts.image_shape).eval().requires_grad_(False)

    def build(self, facts: Facts) -> nn.Module:
        """Build the network with its initial weights, and a head `turns` that tells which way up an image is."""
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            network = self.network(facts.image_shape, max(facts.num_classes, 2))
            network.turns = nn.Linear(network.num_features, len(turns_of(facts)))
        return network

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor, facts: Facts) -> Tensor:
        """Return the loss of a batch (n, C, H, W), (n,): half of it as it is, for the classes, and half of it turned."""
        images, turns = augment_invisibly(images), turns_of(facts)
        which = torch.randint(1, len(turns), (len(images),))
        which[: len(images) // 2] = 0
        turned = torch.stack([image.rot90(turns[int(k)], (1, 2)) for image, k in zip(images, which, strict=True)])
        features = network.features(turned.to(labels.device, memory_format=torch.channels_last))
        loss = F.cross_entropy(network.turns(features), which.to(labels.device))
        if facts.num_classes > 1:
            upright = len(images) // 2
            loss = loss + F.cross_entropy(network.head(features[:upright]), labels[:upright])
        return loss


def turns_of(facts: Facts) -> list[int]:
    """Return the turns, in quarters, that keep the shape of the images."""
    _, height, width = facts.image_shape
    return [0, 1, 2, 3] if height == width else [0, 2]
