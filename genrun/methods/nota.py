"""NOTA: random projections and one-dimensional maps carry noise to images, step by step, without gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from genrun.maths.transport import GenFlow, Layer, StandardNormal, Start, random_directions, sliced_wasserstein
from genrun.maths.transport.marginal_maps import Extrapolate
from genrun.methods.method import Method
from genrun.types import Batch

FRESH = 5000  # new draws that follow the training, to compare with held-out images
DIRECTIONS = 128  # of the logged sliced Wasserstein distances


class NOTA(Method):
    r"""NOTA: a random-projection based approach for generative modelling (poster, "Core idea").

        z_i ~ N(0, I);   iterate:  y = R z,   ψ_j: the marginal of y_j → that of (R x)_j for the data x,   z ← Rᵀ ψ(y)

    The z_i are particles. Each step draws a rotation R, fits the one-dimensional maps ψ_j from the particles to the training images, and
    moves the particles. The maps of all steps are the model: a new draw of z goes through the same steps. Particles are what the maps were
    fitted to and may look better than new draws, so they are judged and shown apart.

    The pixels x = 0 … 255 become (x + u)/256 with uniform noise u, drawn again in each step.

    Args:
        image_shape: (C, H, W) of the data.
        num_classes: number of classes of the data.
        layers: the architecture; see `genrun.maths.transport`.
        particles: number of particles. With few of them the maps fit these and not their distribution.
        start: makes the distribution before the first layer from (its number of values, number of classes).
        conditional: draw by label; the start must depend on the class, the layers are shared by all classes. None: if the data has
            labels and the start can.
        steps_per_epoch: number of steps that one batch of training fits; an epoch has one batch if it holds all images.
        extrapolate: what a map does outside the values that it was fitted to: `clamp`, `linear` or `free`.
        init_seed: seed of the particles, rotations and shifts.
    """

    drawing_options = ("start", "extrapolate")

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        layers: Sequence[Layer],
        particles: int = 60_000,
        start: Callable[[int, int], Start] = StandardNormal,
        conditional: bool | None = None,
        steps_per_epoch: int = 1,
        extrapolate: Extrapolate = "clamp",
        init_seed: int = 0,
    ) -> None:
        if not layers:
            raise ValueError("model.layers: expected at least one layer")
        size = math.prod(layers[0].shape_in(tuple(image_shape)))
        by_class = start(size).by_class
        if conditional and not by_class:
            raise ValueError("model.conditional=true needs a start that depends on the class: model/start=mixture")
        conditional = bool(num_classes) and by_class if conditional is None else conditional
        super().__init__(image_shape, self.classes(num_classes, conditional))
        for name, value, least in (("particles", particles, 2), ("steps_per_epoch", steps_per_epoch, 1)):
            if value < least:
                raise ValueError(f"model.{name}: expected at least {least}, got {value}")
        if extrapolate not in ("clamp", "linear", "free"):
            raise ValueError(f"model.extrapolate: expected clamp, linear or free, got {extrapolate}")
        self.automatic_optimization = False
        self.steps_per_epoch = steps_per_epoch
        self.flow = GenFlow(layers, particles, init_seed, start(size, max(1, self.num_classes)), extrapolate)
        try:
            self.flow.begin(self.image_shape)
        except ValueError as error:
            raise ValueError(f"model.layers: {error}") from error
        directions = random_directions(DIRECTIONS, math.prod(self.image_shape), Generator().manual_seed(0))
        self.register_buffer("directions", directions, persistent=False)
        self.x: Tensor | None = None  # the particles, while training: (D, M)
        self.fresh: Tensor | None = None  # new draws that take the same steps: (D, FRESH)

    def not_continued(self) -> str:
        return f"{type(self).__name__} fits each step once, so nothing would be left to train"

    def not_augmented(self) -> str:
        return f"{type(self).__name__} fits each step to all training images as they are, in one batch"

    def check_data(self, labels: Tensor) -> None:
        self.flow.check(self.classes_of(labels))

    # --------------------------------------------------------------------------------------------------------- training

    def epochs_needed(self) -> int:
        """Return the number of epochs that fit all steps of the architecture."""
        data, limit = self.trainer.datamodule, self.trainer.limit_train_batches
        batches = data.passes * -(-len(data.train) // data.batch_size)
        batches = min(batches, limit) if isinstance(limit, int) else max(1, int(batches * limit))
        return -(-self.flow.total_steps // (self.steps_per_epoch * batches))

    def on_fit_start(self) -> None:
        """End the training with the last layer, and move the particles as far as they were when training stopped."""
        self.trainer.fit_loop.max_epochs = min(self.trainer.max_epochs, self.epochs_needed())
        if self.flow.started:
            self.begin_particles()

    def begin_particles(self) -> None:
        """Draw the particles, and the new draws that follow them, and move them through the fitted steps."""
        self.x, _ = self.flow.particles()
        generator = Generator(self.device).manual_seed(self.flow.init_seed + 1)
        labels = self.flow.start.labels(FRESH, generator)
        self.fresh = self.flow.through(self.flow.drawn(labels, generator))

    @torch.no_grad()
    def training_step(self, batch: Batch, _: int) -> None:
        with torch.autocast(self.device.type, enabled=False):
            data = self.dequantised(batch.image)
            if not self.flow.started:
                train = self.trainer.datamodule.train
                whole, labels = data, batch.label
                if len(labels) < len(train):  # the batch is only a part
                    labels = train.labels.to(self.device)
                    whole = self.dequantised(train.images(torch.arange(len(train), device=self.device)))
                self.flow.fit_start(whole.T, self.classes_of(labels))
                self.begin_particles()
            for step in range(min(self.steps_per_epoch, self.flow.total_steps - self.flow.fitted_steps)):
                data = self.dequantised(batch.image) if step else data
                done = self.flow.fitted_steps
                self.x = self.flow.fit_next(self.x, data)
                self.fresh = self.flow.through(self.fresh, first=done)
            self.track(sliced_wasserstein=self.distance(self.x[:, :FRESH], data[:, :FRESH]))
        self.optimizers().step()  # counts the step

    def dequantised(self, images: Tensor) -> Tensor:
        """Return images (N, C, H, W) in [0, 1] as points (x + u)/256 of the flow: (D, N)."""
        x = images.flatten(1).T.contiguous()  # rows are contiguous, because a step sorts rows
        for rows in x.split(100):  # noise of all images at once would take as much memory as they do
            rows.mul_(255).add_(torch.rand_like(rows)).div_(256)
        return x

    def distance(self, x: Tensor, data: Tensor) -> Tensor:
        """Return the sliced Wasserstein distance of points of the flow (D, M) to data (D, N)."""
        return sliced_wasserstein(self.flow.as_images(x).flatten(1).T, data, self.directions)

    @torch.no_grad()
    def validation_step(self, batch: Batch, _: int) -> None:
        data = (batch.image.flatten(1).T * 255 + 0.5) / 256
        self.log("val/score", self.distance(self.fresh, data), batch_size=len(batch.image))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return an optimizer of nothing: Lightning counts its steps."""
        return torch.optim.SGD([torch.zeros(0, requires_grad=True)], lr=1.0)

    def on_fit_end(self) -> None:
        self.x = self.fresh = None

    def num_parameters(self) -> int:
        """Return how many numbers the flow stores: those of the start and of all maps; rotations are drawn again from the seed."""
        return sum(buffer.numel() for buffer in self.flow.buffers() if buffer.is_floating_point())

    def not_compiled(self) -> str:
        return "NOTA has no networks to compile"

    def not_exported(self) -> str:
        return "NOTA has no network: its rotations are drawn again from a seed in each step, by torch's generator"

    # ------------------------------------------------------------------------------------------------------- generation

    @torch.no_grad()
    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        self.check_labels(n, labels)
        return self.to_images(self.flow.sample(n, labels, generator=generator))

    def to_images(self, x: Tensor) -> Tensor:
        """Return points of the flow (n, C, H, W) as images in [0, 1]: the middle of a grey level is the level."""
        return x.mul(256).sub_(0.5).div_(255).clamp_(0, 1)

    @torch.no_grad()
    def fitted_particles(self, n: int) -> tuple[Tensor, Tensor | None]:
        x, labels = self.flow.particles(n)
        return self.to_images(self.flow.as_images(x)), labels if self.num_classes else None

    @torch.no_grad()
    def sample_trajectory(
        self, n: int, labels: Tensor | None = None, *, frames: int = 40, generator: Generator | None = None
    ) -> Tensor:
        self.check_labels(n, labels)
        flow, states = self.flow, []
        of_class = torch.zeros(n, dtype=torch.long, device=self.device) if labels is None else labels
        x = flow.drawn(of_class, generator)
        stops = torch.linspace(0, flow.fitted_steps, min(frames, flow.fitted_steps + 1)).round().long().tolist()
        for before, stop in zip([0, *stops], stops, strict=False):
            x = flow.through(x, before, stop)
            states.append(self.to_images(flow.as_images(x, stop)))
        return torch.stack(states)


class MonotoneNOTA(NOTA):
    """NOTA whose maps are all monotone and keep the number of values, so that it has an inverse and a density.

    Outside their support the maps go on as straight lines: `extrapolate` is `linear`.

    Args:
        image_shape, num_classes, layers, …: see `NOTA`.
    """

    drawing_options = NOTA.drawing_options

    def __init__(self, *positional: Any, **options: Any) -> None:
        super().__init__(*positional, **{"extrapolate": "linear"} | options)
        if not self.flow.invertible:
            raise ValueError(
                "model.layers: MonotoneNOTA needs monotone maps, and Linear or Tiled layers without a size"
            )
        if self.flow.extrapolate != "linear":
            raise ValueError(
                f"model.extrapolate: MonotoneNOTA has a density with linear only, got {self.flow.extrapolate}"
            )

    @torch.no_grad()
    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the points of the start that become the images, taken in the middle of their grey levels: (n, C, H, W) → (n, D)."""
        points = (images.flatten(1).double() * 255 + 0.5) / 256  # rounding grows on the way back
        return self.flow.inverse(points, density=False)[0].to(images)

    @torch.no_grad()
    def decode_codes(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Move points of the start (n, D) through the flow: (n, C, H, W) in [0, 1]."""
        return self.to_images(self.flow.as_images(self.flow.through(codes.T.contiguous().clone())))

    def log_prob(self, images: Tensor) -> Tensor:
        """Return the log density of images on [0, 1]^D, of all classes together, in nats: (n, C, H, W) → (n,).

        It is NaN where the inverse is lost in rounding; see `GenFlow.log_prob`.
        """
        return self.flow.log_prob(images.flatten(1).double())  # rounding grows on the way back
