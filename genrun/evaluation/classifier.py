"""The reference classifier, which recognises the classes of samples.

It is trained once for each data set, when it is first needed, and then frozen. It is robust: it ignores blur, haze and noise, so images
are not compared in its features (see `observer`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.data.images import Images
from genrun.errors import Refused
from genrun.evaluation.augmentation import augment
from genrun.evaluation.features import CHUNK, exact_convolutions
from genrun.evaluation.limits import LEAST_STEPS
from genrun.runs.identity import digest
from genrun.system.console import with_progress
from genrun.system.turns import in_turn
from genrun.types import Facts

if TYPE_CHECKING:
    from genrun.evaluation.real import RealImages

VERSION = 1  # raise it when the same recipe would give another network
SEED = 0  # the same for every run: a classifier belongs to the data


class Recipe:
    """The network of a classifier and how it is trained: with augmented images and a one-cycle learning rate.

    Args:
        network: (image_shape, num_classes) → a network with `features`: (n, num_features), `head`, and logits.
        optimizer: parameters → an optimizer. Its learning rate is the largest of the cycle, which is reached after a
            quarter of the steps.
        steps: number of training steps.
        epochs: at most so many passes over the images, because small data sets need fewer steps.
        batch_size: images in a step.
    """

    name = "classifier"  # in the configuration

    def __init__(
        self,
        network: Callable[..., nn.Module],
        optimizer: Callable[..., torch.optim.Optimizer],
        steps: int,
        epochs: int = 100,
        batch_size: int = 128,
    ) -> None:
        for name, value, least in (("steps", steps, LEAST_STEPS), ("epochs", epochs, 1), ("batch_size", batch_size, 2)):
            if value < least:
                raise Refused(f"evaluation.{self.name}.{name}: expected at least {least}, got {value}")
        self.network, self.optimizer = network, optimizer
        self.steps, self.epochs, self.batch_size = steps, epochs, batch_size

    def key(self) -> list[Any]:
        """Return everything that decides the trained classifier, except its data."""
        parts = [class_and_options(self.network), class_and_options(self.optimizer)]
        return [*parts, self.steps, self.epochs, self.batch_size, SEED, VERSION]

    def check(self, facts: Facts, steps: int | None = None) -> None:
        """Check the options before anything is trained.

        Raises:
            Refused: the network, its optimizer or the schedule does not accept an option.
        """
        try:
            self.schedule(self.optimizer(self.build(facts).parameters()), steps or self.steps)
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise Refused(
                f"evaluation.{self.name}: {str(error).splitlines()[0]} ({steps or self.steps} steps)"
            ) from error

    @staticmethod
    def schedule(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.OneCycleLR:
        """Return a one-cycle schedule whose largest learning rate is the optimizer's own."""
        rate = optimizer.param_groups[0]["lr"]
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.25)

    def build(self, facts: Facts) -> nn.Module:
        """Build the network with its initial weights."""
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            return self.network(facts.image_shape, facts.num_classes)

    def reference(self, real: RealImages, device: torch.device) -> nn.Module:
        """Return the frozen classifier of this data, from the cache or newly trained on the training images."""

        def make() -> dict[str, Tensor]:
            train = real.data.train
            what = f"training the reference classifier on {len(train):,} images"
            return self.train(train, real.facts, what, real.console, device).state_dict()

        classifier = self.build(real.facts)
        classifier.load_state_dict(real.network(f"classifier-{digest(self.key(), 16)}", make))
        return classifier.eval().requires_grad_(False)

    def train(
        self, images: Images, facts: Facts, what: str, console: Console, device: torch.device, steps: int | None = None
    ) -> nn.Module:
        """Train a network and return it frozen, on the CPU; the global random state does not change.

        Args:
            what: text beside the progress bar.
            steps: training steps; None: those of the recipe.
        """
        epoch = max(1, len(images) // self.batch_size)
        steps = max(LEAST_STEPS, min(steps or self.steps, self.epochs * epoch))
        # on a CPU, convolutions are a third faster with the channels last
        network = self.build(facts).train().to(device, memory_format=torch.channels_last)
        optimizer = self.optimizer(network.parameters())
        schedule = self.schedule(optimizer, steps)
        with exact_convolutions(), torch.random.fork_rng():
            torch.manual_seed(SEED)
            order = batch_indices(len(images), self.batch_size, steps)
            for index in in_turn(with_progress(order, steps, what, console), device.type):
                loss = self.loss(network, images.images(index), images.labels[index].to(device), facts)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        # back to the default memory format, as safetensors stores it
        return network.to("cpu", memory_format=torch.contiguous_format).eval().requires_grad_(False)

    def loss(self, network: nn.Module, images: Tensor, labels: Tensor, facts: Facts) -> Tensor:
        """Return the cross-entropy of images (n, C, H, W) in [0, 1] on the CPU, augmented, and labels (n,) on the network's device."""
        batch = augment(images).to(labels.device, memory_format=torch.channels_last)
        return F.cross_entropy(network(batch), labels)


def class_and_options(made: Callable[..., Any]) -> list[Any]:
    """Return the name and the options of a class, or of a partial class from the configuration."""
    target = getattr(made, "func", made)
    return [f"{target.__module__}.{target.__qualname__}", getattr(made, "keywords", {})]


def batch_indices(size: int, batch_size: int, steps: int) -> Iterator[Tensor]:
    """Yield the image indices of `steps` batches, in a new random order each epoch, without incomplete batches."""
    batch_size, order = min(batch_size, size), []
    for _ in range(steps):
        if not order:
            order = [part for part in torch.randperm(size).split(batch_size) if len(part) == batch_size]
        yield order.pop()


@torch.no_grad()
def accuracy(network: nn.Module, images: Images) -> float:
    """Return the share of images whose class a classifier on the CPU predicts correctly."""
    index = torch.arange(len(images)).split(CHUNK)
    right = [(network(images.images(i)).argmax(1) == images.labels[i]).double().sum() for i in index]
    return (sum(right) / len(images)).item()
