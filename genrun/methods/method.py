"""What every generator of genrun can do, and the book-keeping that all of them share."""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Generator, Tensor
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Optimizer

from genrun.errors import NotFinite, Refused
from genrun.maths import sharding
from genrun.maths.learning_rates import LearningRateSchedule, rate_share, warm_up
from genrun.types import KeepsCodes

# On an accelerator looking at a value waits for everything before it: there the terms are looked at once in so many steps.
STEPS_BETWEEN_CHECKS = 50


class Method(LightningModule):
    """A generator of images: one subclass, one file and one YAML for each paper.

    A subclass implements `training_step`, `configure_optimizers` and `sample`, reports its loss terms with `track`, and takes the
    protocols of `genrun.types` that it can. It logs a `val/score` (lower is better) in validation, or names another metric in `best_by`.

    Args:
        image_shape: (C, H, W) of the data.
        num_classes: number of classes; 0 makes the method unconditional.

    Attributes:
        binary: its likelihood is one of images that are 0 or 1, so `log_prob` and `elbo` are log masses.
        best_by: the metric whose lowest value makes `best.ckpt`.
        steps_per_batch: steps of the optimizer in one batch.
        schedule: of the learning rate over the training.
        phase: the phase of the training that is going on or was the last; empty for a training of one part.
    """

    binary = False
    best_by = "val/score"
    steps_per_batch = 1
    schedule: LearningRateSchedule = "constant"
    phase = ""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self._sums: dict[str, Tensor] = {}  # of each tracked term over this epoch
        self._steps = 0

    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        """Draw n images: (n, C, H, W) in [0, 1], float32, no gradient.

        Args:
            labels: (n,) int64 for a conditional method; None for an unconditional one.
            generator: the only source of randomness.

        Raises:
            ValueError: a conditional method is given no labels, or an unconditional one is given some.
        """
        raise NotImplementedError

    # -- phases of the training

    def phases(self) -> tuple[str, ...]:
        """Return the names of the parts of the training, in their order; none for a training of one part.

        Each is a fit of its own: `model.phases.<name>` in the YAML holds its `max_epochs` and every option that no earlier phase depends
        on; `begin_phase` and `configure_optimizers` are called at its start; it has its own checkpoints and columns in metrics.csv. Samples
        are looked at in the last phase only.
        """
        return ()

    def begin_phase(self, name: str) -> None:
        """Make ready for a phase: the weights are those that the phase before it left. Extend it to freeze networks, for example."""
        self.phase = name

    def column(self, metric: str) -> str:
        """Return the column of metrics.csv that holds a metric: `train/loss` is `train/decoder/loss` in the phase `decoder`."""
        kind, _, name = metric.partition("/")
        return f"{kind}/{self.phase}/{name}" if self.phase and kind in ("train", "val") else metric

    # -- rates over the training

    def progress(self) -> float:
        """The share of the budget that is done, by steps, 0 … 1."""
        batches = self.trainer.num_training_batches * self.trainer.max_epochs
        return min(1.0, self.global_step * self.trainer.accumulate_grad_batches / (batches * self.steps_per_batch))

    def set_rates(self, optimizer: Optimizer | LightningOptimizer, share: float) -> None:
        """Let each group of parameters learn at this share of the rate that it was given."""
        for group in optimizer.param_groups:
            group["lr"] = share * group.setdefault("full_lr", group["lr"])

    def follow_schedule(self) -> None:
        """Let the one optimizer learn at `schedule`'s share of its rate, after a warm-up where that falls."""
        if self.schedule != "constant":
            done = self.progress()
            self.set_rates(self.optimizers(), rate_share(self.schedule, done) * warm_up(done))

    def budget_dependence(self) -> str | None:
        """Why a longer training is not a continuation of a shorter one (a schedule over the budget); None when it is."""
        return None if self.schedule == "constant" else f"model.schedule={self.schedule} falls over the whole budget"

    def check_data(self, labels: Tensor) -> None:
        """Know before training what the training images' labels (N,) would let fail after it.

        Raises:
            ValueError: there are too few images of a class.
        """

    def spread_training_images(self, most: int) -> tuple[Any, Tensor]:
        """Return the training images and at most so many places in them, (n,) int64, from all over the set: it may be sorted by class.

        The images have `images(index)` → (n, C, H, W) in [0, 1], and `labels` (N,). Only while a trainer is at work.
        """
        train = self.trainer.datamodule.train
        return train, torch.linspace(0, len(train) - 1, min(len(train), most)).long()

    def not_compiled(self) -> str | None:
        """Why `torch.compile` cannot serve the networks; None when it can."""
        return f"{type(self).__name__} has no networks to compile" if next(self.children(), None) is None else None

    def not_shared(self) -> str | None:
        """Why several processes cannot share each batch of the training; None when they can.

        They can where the loss is a mean over the images (`maths.sharding.gathered` serves a term that is not), and where training draws
        its random numbers by `maths.random_numbers`.
        """
        name = type(self).__name__
        if isinstance(self, KeepsCodes):
            return f"{name} keeps a code for each training image, and moves them in one process only"
        if not self.automatic_optimization:
            return f"{name} steps by itself, and its gradients are not summed over processes"
        if any(isinstance(part, _DropoutNd) and part.p for part in self.modules()):
            return f"{name} has a network with dropout, whose random numbers would differ from those of one process"
        return None

    @staticmethod
    def classes(num_classes: int, conditional: bool) -> int:
        """The number of classes that a method has which may go without.

        Raises:
            ValueError: conditional, and there are none.
        """
        if conditional and not num_classes:
            raise ValueError("model.conditional=true needs data with labels; this data has none")
        return num_classes if conditional else 0

    def classes_of(self, labels: Tensor) -> Tensor:
        """Labels (n,) as a prior for each class takes them: those of an unconditional method are all of one class, 0."""
        return labels if self.num_classes else labels.new_zeros(len(labels))

    def check_labels(self, n: int, labels: Tensor | None) -> None:
        """Raise the errors that `sample` promises."""
        if self.num_classes and labels is None:
            raise ValueError(f"{type(self).__name__} is conditional: expected labels of shape ({n},), got none")
        if not self.num_classes and labels is not None:
            raise ValueError(f"{type(self).__name__} is unconditional: expected no labels, got {tuple(labels.shape)}")
        if labels is not None:
            if tuple(labels.shape) != (n,):
                raise ValueError(f"expected labels of shape ({n},), got {tuple(labels.shape)}")
            if n and not (int(labels.min()) >= 0 and int(labels.max()) < self.num_classes):
                raise ValueError(
                    f"expected labels from 0 to {self.num_classes - 1}, got {int(labels.min())} to {int(labels.max())}"
                )

    # -- loss terms: summed as tensors, logged once an epoch

    def track(self, **terms: Tensor) -> None:
        """Add this step's loss terms (scalars, means over the batch) to the epoch's means, once a step.

        Of a batch that several processes share they become the means over all of it, so the processes agree on what is not finite.

        Raises:
            NotFinite: a term is NaN or Inf (looked at in every step on the CPU).
        """
        self._steps += 1
        for name, value in sharding.batch_means(terms).items():
            value = value.detach()
            total = self._sums.get(name)
            self._sums[name] = value.clone() if total is None else total.add_(value)
        if self.device.type == "cpu" or self._steps % STEPS_BETWEEN_CHECKS == 0:
            self.check_finite()

    def log(self, name: str, value: Any, *arguments: Any, **options: Any) -> None:
        """As Lightning's; of a batch that several processes share, the value (a mean over the images here) becomes its mean."""
        if (share := sharding.current()) is not None:
            value = sharding.batch_means({name: torch.as_tensor(value, device=self.device)})[name]
            options["batch_size"] = share.whole
        super().log(self.column(name), value, *arguments, **options)

    def check_finite(self) -> None:
        """Check that every tracked term is finite.

        Raises:
            NotFinite: one is NaN or infinite; the error names it.
        """
        for name, total in self._sums.items():
            value = total.item()
            if not math.isfinite(value):
                raise NotFinite(
                    f"the loss term '{name}' became {'NaN' if math.isnan(value) else 'infinite'} in epoch {self.current_epoch + 1}, "
                    f"step {self._steps}; the last good checkpoint is kept; a smaller learning rate may help"
                )

    def running_means(self) -> dict[str, float]:
        """Means of the tracked terms over the epoch so far."""
        return {name: total.item() / self._steps for name, total in self._sums.items()}

    def on_train_epoch_end(self) -> None:
        self.check_finite()
        self.log_dict({f"train/{name}": value for name, value in self.running_means().items()})
        self._sums, self._steps = {}, 0

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["tracked"] = {
            "sums": {name: total.clone() for name, total in self._sums.items()},
            "steps": self._steps,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        tracked = checkpoint["tracked"]
        self._sums = {name: total.to(self.device) for name, total in tracked["sums"].items()}
        self._steps = tracked["steps"]


def check_is_method_class(target: Any, where: str) -> None:
    """Check before it is built that what a YAML names is a method that can train and draw.

    Args:
        where: of the configuration, for the line of an error.

    Raises:
        Refused: it is a class of another kind, or lacks what a method needs.
    """
    if not inspect.isclass(target):  # a function that makes one
        return
    needs = "it needs sample and training_step; docs/methods.md shows one"
    if not issubclass(target, Method):
        raise Refused(f"{where}: expected a subclass of genrun.methods.Method, got {target.__name__}; {needs}")
    for hook in ("sample", "training_step", "configure_optimizers"):
        if getattr(target, hook) is getattr(Method, hook):
            raise Refused(f"{where}: {target.__name__} has no {hook} of its own; {needs}")


def check_is_method(built: Any, where: str) -> None:
    """Check that what a configuration built is a method that knows its images.

    Raises:
        Refused: it is not.
    """
    if not isinstance(built, Method) or not hasattr(built, "image_shape"):
        name = type(built).__name__
        raise Refused(
            f"{where}: expected a genrun.methods.Method that has called super().__init__(image_shape, num_classes), got {name}"
        )
