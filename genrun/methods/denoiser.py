"""The base class of diffusion and flow matching: a network sees noisy images and a time, and a sampler uses it to make images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Generator, Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from genrun.maths.learning_rates import LearningRateSchedule
from genrun.maths.linear_steps import LinearStep
from genrun.maths.preconditioning import LOG_SIGMA_DEVIATION, LOG_SIGMA_MEAN, Preconditioning
from genrun.maths.random_numbers import normal_like, uniform_each
from genrun.methods.method import Method
from genrun.types import Batch, Program

Times = Literal["uniform", "logit_normal", "log_normal"]


class Denoiser(Method):
    r"""A network (x_t, t, y) → out for images x_t on [-1, 1] between data and noise; out is what leads back to the data.

    A conditional network is trained with the label y left out at random, and sampled by classifier-free guidance:

        out = out(x_t, t, ∅) + w (out(x_t, t, y) - out(x_t, t, ∅))

    A subclass defines the loss of a batch and the path of the samples.

    Args:
        image_shape: (C, H, W).
        num_classes: number of classes of the data.
        network: makes the network (n, C, H, W), (n,), labels (n,) → (n, C, H, W) from (image_shape, num_classes), where the label
            num_classes means "no label" (∅).
        optimizer: makes the optimizer from the parameters of the network.
        conditional: learn to draw images of given classes. None: if the data has labels.
        label_dropout: share of the labels that are left out in training.
        guidance: w; 1 uses out(x_t, t, y) unchanged.
        times: how training draws times, as shares of the path: `uniform`, or `logit_normal`, which is σ(N(0, 1)) and most often in the
            middle, where it is decided what an image shows (Esser et al., Scaling rectified flow transformers, 2024); or `log_normal`: the
            noise in units of the image is σ = exp(N(-1.2, 1.2²)), as in EDM.
        schedule: how the learning rate changes over the training; if it falls, the first 2 % are a warm-up.
        halve_after: halve the learning rate when the mean loss of an epoch has not fallen for more than this many epochs; None: never.
        sigma_data: the deviation of the pixels on [-1, 1], by which the network is preconditioned; None: it is not. See `Preconditioning`.

    References:
        Ho and Salimans, Classifier-free diffusion guidance, 2021.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        network: Callable[..., nn.Module],
        optimizer: Callable[..., torch.optim.Optimizer],
        conditional: bool | None = False,
        label_dropout: float = 0.1,
        guidance: float = 1.0,
        times: Times = "uniform",
        schedule: LearningRateSchedule = "cosine",
        halve_after: int | None = None,
        sigma_data: float | None = None,
    ) -> None:
        super().__init__(image_shape, self.classes(num_classes, conditional))
        if not 0 <= label_dropout <= 1:
            raise ValueError(f"model.label_dropout: expected 0 to 1, got {label_dropout}")
        if guidance != 1 and not (self.num_classes and label_dropout):
            raise ValueError(
                f"model.guidance={guidance} needs model.conditional=true and model.label_dropout above 0 in training"
            )
        if halve_after is not None and schedule != "constant":
            raise ValueError(f"model.halve_after={halve_after} needs model.schedule=constant, got {schedule}")
        self.network = network(self.image_shape, self.num_classes)
        self.optimizer, self.label_dropout, self.guidance = optimizer, label_dropout, guidance
        self.times, self.schedule, self.halve_after = times, schedule, halve_after
        self.plateau: ReduceLROnPlateau | None = None
        self.preconditioning = None if sigma_data is None else Preconditioning(sigma_data)

    # --------------------------------------------------------------------------------------- what a subclass implements

    def losses(self, images: Tensor, labels: Tensor | None, generator: Generator | None = None) -> dict[str, Tensor]:
        """Return the loss terms, by name, at random times; their sum is minimised. Images (n, C, H, W) on [-1, 1], labels (n,)."""
        raise NotImplementedError

    def path(self, x: Tensor, labels: Tensor | None, generator: Generator | None) -> Iterator[Tensor]:
        """Yield the state after each step, from noise x (n, C, H, W) to images on [-1, 1]."""
        raise NotImplementedError

    def levels(self, times: Tensor) -> tuple[Tensor, Tensor]:
        """Return the shares a of the image and b of the noise in x_t at times (n,), as the network is told them: (n, 1, 1, 1) each."""
        raise NotImplementedError

    def share_of(self, sigma: Tensor) -> Tensor:
        """Return the time at which b/a is σ, as a share of the path in [0, 1]: (n,) → (n,)."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------------------ training

    def draw_times(self, images: Tensor, generator: Generator | None) -> Tensor:
        """Draw a time for each image, as a share of the path in [0, 1]: (n,)."""
        if self.times == "log_normal":
            normal = normal_like(images[:, 0, 0, 0], generator)
            return self.share_of((LOG_SIGMA_MEAN + LOG_SIGMA_DEVIATION * normal).exp())
        if self.times == "logit_normal":
            return normal_like(images[:, 0, 0, 0], generator).sigmoid()
        return uniform_each(images, generator, images.dtype)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        self.follow_schedule()
        terms = self.losses(2 * batch.image - 1, self.some_labels(batch))
        self.track(**terms)
        return sum(terms.values())

    def some_labels(self, batch: Batch) -> Tensor | None:
        """Return the labels (n,) of a training step, some of them left out; None if the method is unconditional."""
        if not self.num_classes:
            return None
        left_out = uniform_each(batch.label) < self.label_dropout
        return batch.label.masked_fill(left_out, self.num_classes)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log the loss of held-out images, always at the same times and with the same noise."""
        labels = batch.label if self.num_classes else None
        terms = self.losses(2 * batch.image - 1, labels, Generator(self.device).manual_seed(0))
        self.log("val/score", sum(terms.values()), batch_size=len(batch.image))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer = self.optimizer(self.network.parameters())
        if self.halve_after is not None:
            self.plateau = ReduceLROnPlateau(optimizer, factor=0.5, patience=self.halve_after)
        return optimizer

    def on_train_epoch_end(self) -> None:
        # not left to Lightning: it steps schedulers only after the checkpoint of the epoch is written
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

    _plateau_state: dict[str, Any] | None = None  # from a checkpoint, which is read before the optimizer exists

    # ---------------------------------------------------------------------------------------------------------- generation

    def output(self, x: Tensor, times: Tensor, labels: Tensor | None) -> Tensor:
        """Return the output of the network for x_t at times (n,), preconditioned if `sigma_data` is given."""
        if self.preconditioning is not None:
            x, times = self.preconditioning.inputs(x, *self.levels(times))
        return self.network(x, times, labels)

    def predict(self, x: Tensor, time: float | Tensor, labels: Tensor | None) -> Tensor:
        """Return the output of the network at one time for all images, guided if there are labels: (n, C, H, W) → the same."""
        times = time.expand(x.shape[0]) if isinstance(time, Tensor) else x.new_full((len(x),), time)
        if labels is None or self.guidance == 1:
            return self.output(x, times, labels)
        none = torch.full_like(labels, self.num_classes)
        without, with_label = self.output(x.repeat(2, 1, 1, 1), times.repeat(2), torch.cat([none, labels])).chunk(2)
        return torch.lerp(without, with_label, self.guidance)

    def never_without_label(self) -> bool:
        """Return whether the network was trained with labels only, so that it says nothing of images whose label is not known."""
        return bool(self.num_classes) and not self.label_dropout

    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        self.check_labels(n, labels)
        x = self.noise(n, generator)
        if n:
            for state in self.states(x, labels, generator):
                x = state
        return to_unit_interval(x)

    def sample_trajectory(
        self, n: int, labels: Tensor | None = None, *, frames: int = 40, generator: Generator | None = None
    ) -> Tensor:
        """Draw n images; return the noise and evenly chosen states of the sampler: (T, n, C, H, W) in [0, 1], T ≤ frames."""
        self.check_labels(n, labels)
        x = self.noise(n, generator)
        states = [to_unit_interval(x), *map(to_unit_interval, self.states(x, labels, generator))]
        kept = torch.linspace(len(states) - 1, 0, min(frames, len(states))).round().long().flip(0).tolist()
        return torch.stack([states[k] for k in kept])

    def noise(self, n: int, generator: Generator | None) -> Tensor:
        """Draw noise from N(0, I): (n, C, H, W)."""
        return normal_like(next(self.network.parameters()).new_empty(n, *self.image_shape), generator)

    @torch.no_grad()
    def states(self, x: Tensor, labels: Tensor | None, generator: Generator | None) -> Iterator[Tensor]:
        """Yield the state after each step, see `path`, without gradients."""
        yield from self.path(x, labels, generator)

    # -- export

    def linear_steps(self) -> list[LinearStep]:
        """Return the steps of the sampler as numbers, for the output of the network.

        Raises:
            ValueError: there are none.
        """
        raise ValueError(f"the steps of {type(self).__name__} are not known as numbers (linear_steps)")

    def exported_program(self) -> Program:
        """Return one step of the sampler as a function; see `genrun.types.Exports`."""
        steps = self.linear_steps()
        x = torch.randn(2, *self.image_shape)
        inputs = {"x": x, "memory": torch.zeros_like(x), "step": torch.tensor(0)}
        if any(step.fresh for step in steps):
            inputs["noise"] = torch.randn_like(x)
        if self.num_classes:
            inputs["labels"] = torch.zeros(2, dtype=torch.long)
        return Program(SamplerStep(self, steps), inputs, len(steps))


class SamplerStep(nn.Module):
    """One step of a sampler, whose numbers are looked up in a table."""

    def __init__(self, method: Denoiser, steps: Sequence[LinearStep]) -> None:
        super().__init__()
        self.method = method
        self.register_buffer("table", torch.tensor(steps), persistent=False)  # (steps, 10)

    def forward(
        self, x: Tensor, memory: Tensor, step: Tensor, noise: Tensor | None = None, labels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the next x and memory, (n, C, H, W) each; see `genrun.maths.linear_steps.LinearStep`."""
        at = LinearStep(*self.table.index_select(0, step.reshape(1)).squeeze(0).unbind())
        y = at.of_x * x + at.of_output * self.method.predict(x, at.time, labels)
        y = torch.minimum(torch.maximum(y, -at.limit), at.limit)
        moved = at.keep * x + at.add * y + at.recall * memory
        return moved if noise is None else moved + at.fresh * noise, at.store_x * x + at.store * y


def to_unit_interval(x: Tensor) -> Tensor:
    """Map images from [-1, 1] to [0, 1], clipped."""
    return ((x + 1) / 2).clamp(0, 1).float()
