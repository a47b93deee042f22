"""What every generator of genrun can do, and the book-keeping that all of them share."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Generator, Tensor
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Optimizer

from genrun.errors import NotFinite
from genrun.maths import shares
from genrun.maths.rates import Schedule, rate_share, warm_up
from genrun.types import KeepsCodes

# On an accelerator looking at a value waits for everything before it: there the terms are looked at once in so many steps.
STEPS_BETWEEN_LOOKS = 50


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
        schedule: of the rates over the training.
    """

    binary = False
    best_by = "val/score"
    steps_per_batch = 1
    schedule: Schedule = "constant"

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

    def not_compiled(self) -> str | None:
        """Why `torch.compile` cannot serve the networks; None when it can."""
        return f"{type(self).__name__} has no networks to compile" if next(self.children(), None) is None else None

    def not_shared(self) -> str | None:
        """Why several processes cannot share each batch of the training; None when they can.

        They can where the loss is a mean over the images (`maths.shares.gathered` serves a term that is not), and where training draws its
        random numbers by `maths.draws`.
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
        for name, value in shares.batch_means(terms).items():
            value = value.detach()
            total = self._sums.get(name)
            self._sums[name] = value.clone() if total is None else total.add_(value)
        if self.device.type == "cpu" or self._steps % STEPS_BETWEEN_LOOKS == 0:
            self.look()

    def log(self, name: str, value: Any, *arguments: Any, **options: Any) -> None:
        """As Lightning's; of a batch that several processes share, the value (a mean over the images here) becomes its mean."""
        if (share := shares.current()) is not None:
            value = shares.batch_means({name: torch.as_tensor(value, device=self.device)})[name]
            options["batch_size"] = share.whole
        super().log(name, value, *arguments, **options)

    def look(self) -> None:
        """Raise NotFinite when a tracked term is no longer finite, naming it."""
        for name, total in self._sums.items():
            value = total.item()
            if value - value != 0:  # NaN and Inf, without a tensor operation
                raise NotFinite(
                    f"the loss term '{name}' became {'NaN' if value != value else 'infinite'} in epoch {self.current_epoch + 1}, "
                    f"step {self._steps}; the last good checkpoint is kept; a smaller learning rate may help"
                )

    def running_means(self) -> dict[str, float]:
        """Means of the tracked terms over the epoch so far."""
        return {name: total.item() / self._steps for name, total in self._sums.items()}

    def on_train_epoch_end(self) -> None:
        self.look()
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
