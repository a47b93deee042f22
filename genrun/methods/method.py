"""The base class of all methods: what every method can do, and the code that all methods share."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Generator, Tensor
from torch.nn import Module
from torch.nn.modules.dropout import _DropoutNd
from torch.optim import Optimizer

from genrun.errors import NotFinite, Refused
from genrun.maths import sharding
from genrun.maths.learning_rates import LearningRateSchedule, rate_share, warm_up
from genrun.types import KeepsCodes

# Reading a value from an accelerator waits for all work before it, so there the loss terms are checked only once in so many steps.
STEPS_BETWEEN_CHECKS = 50


class Method(LightningModule):
    """A generator of images: one subclass, one file and one YAML for each paper.

    A subclass implements `training_step`, `configure_optimizers` and `sample`, reports its loss terms with `track`, and implements those
    protocols of `genrun.types` that fit it. In validation it logs `val/score` (lower is better), or it names another metric in `best_by`.

    Args:
        image_shape: (C, H, W) of the data.
        num_classes: number of classes; 0 makes the method unconditional.

    Attributes:
        binary: whether the likelihood is for images that are 0 or 1; then `log_prob` and `elbo` are log masses.
        likelihoods_at_most: number of test images whose likelihood the judge asks for at most, if it takes long; None: as many as it likes.
        best_by: the metric whose lowest value decides which weights `best.ckpt` holds.
        steps_per_batch: optimizer steps in one batch.
        drawing_options: options of the model that may be changed after training; `genrun sample` takes no others. A subclass that does not
            name its own takes all.
        schedule: the schedule of the learning rate over the training.
        sampling_options: options of the model on which training does not depend; `genrun refit` may change them, besides the refitted part.
        phase: the current phase of the training, or the last one; empty if the training has one part.
    """

    binary = False
    likelihoods_at_most: int | None = None
    best_by = "val/score"
    steps_per_batch = 1
    schedule: LearningRateSchedule = "constant"
    sampling_options: tuple[str, ...] = ()
    drawing_options: tuple[str, ...] | None = None
    phase = ""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.image_shape = tuple(image_shape)
        self.num_classes = num_classes
        self._sums: dict[str, Tensor] = {}  # the sum of each tracked term over this epoch
        self._steps = 0

    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        """Draw n images: (n, C, H, W) in [0, 1], float32, without gradient.

        Args:
            labels: (n,) int64 for a conditional method; None for an unconditional one.
            generator: the only source of randomness.

        Raises:
            ValueError: a conditional method is given no labels, or an unconditional one is given some.
        """
        raise NotImplementedError

    def check_options(self) -> None:
        """Check that no option is without effect. It is called for a new run, and where options of a run are changed: older runs open.

        Raises:
            ValueError: an option does nothing, or cannot give samples.
        """

    @staticmethod
    def refuse_own(optimizer: Callable[..., Optimizer], option: str, otherwise: str) -> None:
        """Refuse an option of the optimizer that the method sets itself.

        Raises:
            ValueError: the YAML or the command line sets it; `otherwise` says what to give in its place.
        """
        if option in getattr(optimizer, "keywords", {}):
            raise ValueError(f"model.optimizer.{option}: the method sets it itself; leave it out and give {otherwise}")

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets an attribute of the module some forty times a step, and torch then looks among parameters, buffers and modules.
        # What is a plain attribute already, and stays one, is in none of these.
        if name in self.__dict__ and not isinstance(value, (Tensor, Module)):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    # -- phases of the training

    def phases(self) -> tuple[str, ...]:
        """Return the names of the phases of the training, in their order; no names if the training has one part.

        Each phase is a fit of its own, with its own checkpoints and columns in metrics.csv. In the YAML, `model.phases.<name>` holds its
        `max_epochs` and every option on which no earlier phase depends. `begin_phase` and `configure_optimizers` are called at its start.
        Samples are drawn and judged in the last phase only.
        """
        return ()

    def begin_phase(self, name: str) -> None:
        """Prepare for a phase, with the weights from the end of the phase before. A subclass extends it to freeze networks, for example."""
        self.phase = name

    def column(self, metric: str) -> str:
        """Return the column of metrics.csv that holds a metric: `train/loss` is `train/decoder/loss` in the phase `decoder`."""
        kind, _, name = metric.partition("/")
        return f"{kind}/{self.phase}/{name}" if self.phase and kind in ("train", "val") else metric

    # -- learning rates over the training

    def progress(self) -> float:
        """Return the share of the training budget that is done, counted in steps: 0 … 1."""
        batches = self.trainer.num_training_batches * self.trainer.max_epochs
        return min(1.0, self.global_step * self.trainer.accumulate_grad_batches / (batches * self.steps_per_batch))

    def set_rates(self, optimizer: Optimizer | LightningOptimizer, share: float) -> None:
        """Set the learning rate of each parameter group to this share of its full learning rate."""
        for group in optimizer.param_groups:
            group["lr"] = share * group.setdefault("full_lr", group["lr"])

    def epochs_needed(self) -> int | None:
        """Return the number of epochs after which nothing is left to train; None if there is no such number. A trainer must be running."""
        return None

    def follow_schedule(self) -> None:
        """Set the learning rate of the only optimizer by `schedule`, with a warm-up if the schedule falls."""
        if self.schedule != "constant":
            done = self.progress()
            self.set_rates(self.optimizers(), rate_share(self.schedule, done) * warm_up(done))

    def budget_dependence(self) -> str | None:
        """Return why a longer training does not continue a shorter one (such as a schedule over the budget); None if it does."""
        return None if self.schedule == "constant" else f"model.schedule={self.schedule} falls over the whole budget"

    def check_data(self, labels: Tensor) -> None:
        """Check, before training, that the labels (N,) of the training images let no later stage fail.

        Raises:
            ValueError: there are too few images of a class.
        """

    def spread_training_images(self, most: int) -> tuple[Any, Tensor]:
        """Return the training images and the indices (n,), int64, of at most `most` of them. Call it only while a trainer is running.

        The indices are spread over the whole set, because it may be sorted by class. The images have `images(index)` → (n, C, H, W) in
        [0, 1], and `labels` (N,).
        """
        train = self.trainer.datamodule.train
        return train, torch.linspace(0, len(train) - 1, min(len(train), most)).long()

    def num_parameters(self) -> int:
        """Return how many numbers were learned, without the codes of training images."""
        return sum(weight.numel() for weight in self.parameters())

    def not_compiled(self) -> str | None:
        """Return why the networks cannot be compiled by `torch.compile`; None if they can."""
        return f"{type(self).__name__} has no networks to compile" if next(self.children(), None) is None else None

    def not_exported(self) -> str:
        """Return why a method that is no `genrun.types.Exports` cannot be exported as a function of tensors."""
        return f"{type(self).__name__} has no exported_program, see docs/methods.md"

    def not_shared(self) -> str | None:
        """Return why several processes cannot share each training batch; None if they can.

        They can if the loss is a mean over the images (`maths.sharding.gathered` helps with a term that is not), and if training draws its
        random numbers by `maths.random_numbers`.
        """
        name = type(self).__name__
        if isinstance(self, KeepsCodes):
            return f"{name} keeps a code for each training image, and moves these codes in one process only"
        if not self.automatic_optimization:
            return f"{name} steps by itself, and its gradients are not summed over processes"
        if any(isinstance(part, _DropoutNd) and part.p for part in self.modules()):
            return f"{name} has a network with dropout, whose random numbers would differ from those of one process"
        return None

    def prepare_samples(self) -> None:
        """Prepare, between epochs, what samples need that training does not, such as a prior. A trainer must be running."""

    def not_refitted(self) -> str | None:
        """Return why another prior would not change the samples of a method that `Refits`; None if it would."""
        return None

    def not_continued(self) -> str | None:
        """Return why a training cannot begin with the weights of another run (`run.init_from`); None if it can."""
        return None

    def not_augmented(self) -> str | None:
        """Return why the training images cannot be changed at random, another way each time (`data.augment`); None if they can."""
        if isinstance(self, KeepsCodes):
            return f"{type(self).__name__} keeps one code for each training image, which would stand for all its changed forms"
        return None

    @staticmethod
    def classes(num_classes: int, conditional: bool | None) -> int:
        """Return the number of classes of a method that can be conditional or not: 0 if it is not. None: if the data has labels.

        Raises:
            ValueError: the method is conditional, but the data has no classes.
        """
        if conditional and not num_classes:
            raise ValueError("model.conditional=true needs data with labels; this data has none")
        return 0 if conditional is False else num_classes

    def classes_of(self, labels: Tensor) -> Tensor:
        """Return the labels (n,) for a prior with a distribution per class; if the method is unconditional, all are 0."""
        return labels if self.num_classes else labels.new_zeros(len(labels))

    def check_labels(self, n: int, labels: Tensor | None) -> None:
        """Check the labels for n images.

        Raises:
            ValueError: labels are missing, out of range or of a wrong shape, or an unconditional method is given some.
        """
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
        """Add the loss terms of this step (scalars, means over the batch) to the means of the epoch. Call it once per step.

        If several processes share the batch, the terms become means over the whole batch, so all processes agree whether a term is finite.

        Raises:
            NotFinite: a term is NaN or Inf (on the CPU this is checked in every step).
        """
        self._steps += 1
        for name, value in sharding.batch_means(terms).items():
            value = value.detach()
            value = value.to(torch.promote_types(value.dtype, torch.float32))  # a sum of bfloat16 stops growing at 256
            total = self._sums.get(name)
            self._sums[name] = value.clone() if total is None else total.add_(value)
        if self.device.type == "cpu" or self._steps % STEPS_BETWEEN_CHECKS == 0:
            self.check_finite()

    def log(self, name: str, value: Any, *arguments: Any, **options: Any) -> None:
        """Log a value like Lightning. If several processes share a batch, means over their images become the mean over the batch."""
        if (share := sharding.current()) is not None:
            value = sharding.batch_means({name: torch.as_tensor(value, device=self.device)})[name]
            options["batch_size"] = share.whole
        super().log(self.column(name), value, *arguments, **options)

    def check_finite(self) -> None:
        """Check that every tracked term is finite.

        Raises:
            NotFinite: a term is NaN or infinite; the error names it.
        """
        for name, total in self._sums.items():
            value = total.item()
            if not math.isfinite(value):
                raise NotFinite(
                    f"the loss term '{name}' became {'NaN' if math.isnan(value) else 'infinite'} in epoch {self.current_epoch + 1}, "
                    f"step {self._steps}; the last good checkpoint is kept; a smaller learning rate may help"
                )

    def running_means(self) -> dict[str, float]:
        """Return the means of the tracked terms over the epoch so far."""
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
        where: the place in the configuration, for the error message.

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
