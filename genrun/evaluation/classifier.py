"""The reference classifier: trained once for each data set, when it is first needed, and frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.data.images import Images
from genrun.errors import Refused
from genrun.evaluation.augmentation import changed
from genrun.evaluation.features import CHUNK, exact_convolutions
from genrun.runs.identity import digest
from genrun.system.console import with_progress
from genrun.types import Facts

if TYPE_CHECKING:
    from genrun.evaluation.real import RealImages

VERSION = 1  # raised when the same recipe would come to another network
SEED = 0  # of every classifier: it is the data's, not a run's
LEAST_STEPS = 8  # that a cycle of rates can be laid over


class Recipe:
    """A classifier's network and how it is trained: by a one-cycle rate on slightly changed images.

    Args:
        network: (image_shape, num_classes) → a network with `features`: (n, num_features), `head`, and logits.
        optimizer: parameters → an optimizer, with the largest rate of the cycle, reached after a quarter of the steps.
        steps: of training.
        epochs: passes over the images at most: small data sets need fewer steps.
        batch_size: images in a step.
    """

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
                raise Refused(f"evaluation.classifier.{name}: expected at least {least}, got {value}")
        self.network, self.optimizer = network, optimizer
        self.steps, self.epochs, self.batch_size = steps, epochs, batch_size

    def key(self) -> list[Any]:
        """Everything that decides the classifier, besides its data."""
        parts = [named(self.network), named(self.optimizer)]
        return [*parts, self.steps, self.epochs, self.batch_size, SEED, VERSION]

    def check(self, facts: Facts, steps: int | None = None) -> None:
        """Refuse what cannot be built, before anything is trained.

        Raises:
            Refused: an option that the network, its optimizer or the schedule does not take.
        """
        try:
            self.schedule(self.optimizer(self.build(facts).parameters()), steps or self.steps)
        except (ValueError, TypeError, ZeroDivisionError) as error:
            raise Refused(
                f"evaluation.classifier: {str(error).splitlines()[0]} ({steps or self.steps} steps)"
            ) from error

    @staticmethod
    def schedule(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.OneCycleLR:
        """One cycle whose largest rate is the optimizer's own."""
        rate = optimizer.param_groups[0]["lr"]
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.25)

    def build(self, facts: Facts) -> nn.Module:
        """The network before training."""
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            return self.network(facts.image_shape, facts.num_classes)

    def reference(self, real: RealImages, device: torch.device) -> nn.Module:
        """The classifier of this data: from the cache where it is there whole, else trained on the training images."""

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
        """A classifier trained by cross-entropy, frozen, on the CPU; the global random stream is as it was.

        Args:
            what: said beside the progress.
            steps: fewer or more than the recipe's.
        """
        epoch = max(1, len(images) // self.batch_size)
        steps = max(LEAST_STEPS, min(steps or self.steps, self.epochs * epoch))
        # on a CPU convolutions are faster by a third with the channels last
        network = self.build(facts).train().to(device, memory_format=torch.channels_last)
        optimizer = self.optimizer(network.parameters())
        schedule = self.schedule(optimizer, steps)
        with exact_convolutions(), torch.random.fork_rng():
            torch.manual_seed(SEED)
            order = batches(len(images), self.batch_size, steps)
            for index in with_progress(order, steps, what, console):
                batch = changed(images.images(index)).to(device, memory_format=torch.channels_last)
                loss = F.cross_entropy(network(batch), images.labels[index].to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
        # plain order again, which is what safetensors keeps
        return network.to("cpu", memory_format=torch.contiguous_format).eval().requires_grad_(False)


def named(made: Callable[..., Any]) -> list[Any]:
    """What a partial class of the configuration would make: its name and its options."""
    target = getattr(made, "func", made)
    return [f"{target.__module__}.{target.__qualname__}", getattr(made, "keywords", {})]


def batches(size: int, batch_size: int, steps: int) -> Iterator[Tensor]:
    """Indices of `steps` batches, epoch after epoch in a fresh order; what does not fill a batch is left out."""
    batch_size, order = min(batch_size, size), []
    for _ in range(steps):
        if not order:
            order = [part for part in torch.randperm(size).split(batch_size) if len(part) == batch_size]
        yield order.pop()


@torch.no_grad()
def accuracy(network: nn.Module, images: Images) -> float:
    """Share of images that a classifier on the CPU takes for what they are."""
    index = torch.arange(len(images)).split(CHUNK)
    right = [(network(images.images(i)).argmax(1) == images.labels[i]).double().sum() for i in index]
    return (sum(right) / len(images)).item()
