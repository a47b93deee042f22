"""What diffusion and flow matching share: a network that sees noisy images and a time, and a sampler that follows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from genrun.maths.learning_rates import LearningRateSchedule
from genrun.maths.random_numbers import normal_like, uniform_each
from genrun.methods.method import Method
from genrun.types import Batch

Times = Literal["uniform", "logit_normal"]


class Denoiser(Method):
    r"""Images on [-1, 1] between data and noise, and a network (x_t, t, y) → what leads back.

    A conditional network is trained with its label y left out now and then, and sampled by classifier-free guidance:

        out = out(x_t, t, ∅) + w (out(x_t, t, y) - out(x_t, t, ∅))

    A subclass gives the loss of a batch and the path of the samples.

    Args:
        image_shape: (C, H, W).
        num_classes: of the data.
        network: makes the network (n, C, H, W), (n,), labels (n,) → (n, C, H, W) from (image_shape, num_classes), where the label
            num_classes stands for none (∅).
        optimizer: takes the network.
        conditional: draw images of given classes.
        label_dropout: share of the labels that are left out in training.
        guidance: w; 1 is the network as it is.
        times: in training, as shares of the way, are `uniform`, or σ(N(0, 1)), most often in the middle, where it is decided what an image
            shows (`logit_normal`; Esser et al., Scaling rectified flow transformers, 2024).
        schedule: of the rate over the training, after a warm-up of its first 2 % where it falls.
        halve_after: halve the rate when the epoch's mean loss has not fallen for more than so many epochs; None: do not.

    References:
        Ho and Salimans, Classifier-free diffusion guidance, 2021.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        network: Callable[..., nn.Module],
        optimizer: Callable[..., torch.optim.Optimizer],
        conditional: bool = False,
        label_dropout: float = 0.1,
        guidance: float = 1.0,
        times: Times = "uniform",
        schedule: LearningRateSchedule = "cosine",
        halve_after: int | None = None,
    ) -> None:
        super().__init__(image_shape, self.classes(num_classes, conditional))
        if not 0 <= label_dropout <= 1:
            raise ValueError(f"model.label_dropout: expected 0 to 1, got {label_dropout}")
        if guidance != 1 and not (conditional and label_dropout):
            raise ValueError(
                f"model.guidance={guidance} needs model.conditional=true and model.label_dropout above 0 in training"
            )
        if halve_after is not None and schedule != "constant":
            raise ValueError(f"model.halve_after={halve_after} needs model.schedule=constant, got {schedule}")
        self.network = network(self.image_shape, self.num_classes)
        self.optimizer, self.label_dropout, self.guidance = optimizer, label_dropout, guidance
        self.times, self.schedule, self.halve_after = times, schedule, halve_after
        self.plateau: ReduceLROnPlateau | None = None

    # ------------------------------------------------------------------------------------------------- of each subclass

    def losses(self, images: Tensor, labels: Tensor | None, generator: Generator | None = None) -> dict[str, Tensor]:
        """Terms whose sum is trained on, at random times: images (n, C, H, W) on [-1, 1], labels (n,)."""
        raise NotImplementedError

    def path(self, x: Tensor, labels: Tensor | None, generator: Generator | None) -> Iterator[Tensor]:
        """The states from noise x (n, C, H, W) to images on [-1, 1], after each step."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------------------ training

    def draw_times(self, images: Tensor, generator: Generator | None) -> Tensor:
        """A share of the way in [0, 1] for each of the images: (n,)."""
        if self.times == "logit_normal":
            return normal_like(images[:, 0, 0, 0], generator).sigmoid()
        return uniform_each(images, generator, images.dtype)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        self.follow_schedule()
        labels = None
        if self.num_classes:
            left_out = uniform_each(batch.label) < self.label_dropout
            labels = batch.label.masked_fill(left_out, self.num_classes)
        terms = self.losses(2 * batch.image - 1, labels)
        self.track(**terms)
        return sum(terms.values())

    def validation_step(self, batch: Batch, _: int) -> None:
        """The loss of held-out images at the same times and with the same noise each time."""
        labels = batch.label if self.num_classes else None
        terms = self.losses(2 * batch.image - 1, labels, Generator(self.device).manual_seed(0))
        self.log("val/score", sum(terms.values()), batch_size=len(batch.image))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = self.optimizer(self.network.parameters())
        if self.halve_after is not None:
            self.plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=self.halve_after)
        return optimizer

    def on_train_epoch_end(self) -> None:
        # here and not by Lightning, which steps schedulers after the epoch's checkpoint is written
        if self.plateau is not None:
            self.plateau.step(sum(self.running_means().values()))
        super().on_train_epoch_end()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self.plateau is not None:
            checkpoint["plateau"] = self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self._plateau_state = checkpoint.get("plateau")

    def on_train_start(self) -> None:
        if self.plateau is not None and self._plateau_state is not None:
            self.plateau.load_state_dict(self._plateau_state)

    _plateau_state: dict[str, Any] | None = None  # of a checkpoint, which is read before there is an optimizer

    # ---------------------------------------------------------------------------------------------------------- generation

    def predict(self, x: Tensor, time: float, labels: Tensor | None) -> Tensor:
        """The network's answer at one time for all images, guided where there are labels: (n, C, H, W) → the same."""
        times = x.new_full((len(x),), time)
        if labels is None or self.guidance == 1:
            return self.network(x, times, labels)
        none = torch.full_like(labels, self.num_classes)
        without, with_label = self.network(x.repeat(2, 1, 1, 1), times.repeat(2), torch.cat([none, labels])).chunk(2)
        return torch.lerp(without, with_label, self.guidance)

    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        self.check_labels(n, labels)
        x = self.noise(n, generator)
        if n:
            for state in self.states(x, labels, generator):
                x = state
        return shown(x)

    def sample_trajectory(
        self, n: int, labels: Tensor | None = None, *, frames: int = 40, generator: Generator | None = None
    ) -> Tensor:
        """The noise and the states that the sampler passes, evenly chosen: (T, n, C, H, W) in [0, 1], T ≤ frames."""
        self.check_labels(n, labels)
        x = self.noise(n, generator)
        states = [shown(x), *map(shown, self.states(x, labels, generator))]
        kept = torch.linspace(len(states) - 1, 0, min(frames, len(states))).round().long().flip(0).tolist()
        return torch.stack([states[k] for k in kept])

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        """(n, C, H, W) from N(0, I)."""
        return normal_like(next(self.network.parameters()).new_empty(n, *self.image_shape), generator)

    @torch.no_grad()
    def states(self, x: Tensor, labels: Tensor | None, generator: Generator | None) -> Iterator[Tensor]:
        """`path` without gradients."""
        yield from self.path(x, labels, generator)


def shown(x: Tensor) -> Tensor:
    """Images on [-1, 1] → in [0, 1]."""
    return ((x + 1) / 2).clamp(0, 1).float()
