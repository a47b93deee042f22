"""A flow without gradients: a list of layers, each fitted to carry the points that the layers before it left to the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genrun.maths.transport.layers import Layer, Shape
from genrun.maths.transport.marginal_maps import Extrapolate
from genrun.maths.transport.starts import StandardNormal, Start

CHUNK = 4096  # points that are moved through all layers at a time
LOST = 1e-3  # a point that misses itself by more than this, on the way to the start and back, is lost; relative to 1 + its largest value
PART = 1000  # points that are drawn from the start at a time


class GenFlow(nn.Module):
    r"""A flow from a simple distribution to that of the data, fitted layer by layer (NOTA, "Model hierarchy").

        z ~ N(0, I);   for each step: rotate, carry each marginal of the generated points to that of the data, rotate back

    It works on any array of points, (N, D) or (N, C, H, W), like an estimator of scikit-learn:

        flow = GenFlow([Linear(steps=50)], n_gen_samples=10_000)
        flow.fit(data)
        images = flow.sample(100)

    `fit` can be called again after `add_layer`, or after it was interrupted: it goes on after the last fitted step.

    Args:
        layers: the layers, in order.
        n_gen_samples: number of particles that are drawn from the start, moved by each step, and to which the next is fitted.
        init_seed: seed of the particles and of all rotations and shifts.
        start: the distribution before the first layer; None: N(0, I).
        extrapolate: what maps do outside their support: `clamp`, `linear` or `free`.

    Attributes:
        last_fitted_layer: number of layers that are fitted to their end.
    """

    def __init__(
        self,
        layers: Sequence[Layer] = (),
        n_gen_samples: int = 10_000,
        init_seed: int = 0,
        start: Start | None = None,
        extrapolate: Extrapolate = "clamp",
    ) -> None:
        super().__init__()
        if extrapolate not in ("clamp", "linear", "free"):
            raise ValueError(f"extrapolate: expected clamp, linear or free, got {extrapolate}")
        if n_gen_samples < 2:
            raise ValueError(f"n_gen_samples: expected at least 2, got {n_gen_samples}")
        self.layers = nn.ModuleList(layers)
        self.n_gen_samples, self.init_seed, self.extrapolate = n_gen_samples, init_seed, extrapolate
        self.start = start
        # (C, H, W) of the data; (D, 1, 1) of plain points. Its values are asked for also where a method is built without memory
        self.register_buffer("shape", torch.zeros(3, dtype=torch.int64, device="cpu"))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))  # whether the start is fitted
        self.register_load_state_dict_pre_hook(GenFlow.begin_as_saved)

    def begin_as_saved(self, state: Mapping[str, Any], prefix: str, *_: Any) -> None:
        """Set the shape of the data to that of a saved flow, before its tensors are loaded."""
        if (shape := state.get(f"{prefix}shape")) is not None and shape[0]:
            self.begin(tuple(shape.tolist()))

    # ------------------------------------------------------------------------------------------------------ architecture

    def add_layer(self, layer: Layer) -> None:
        """Add a layer after the others; `fit` then fits it."""
        self.layers.append(layer)
        if self.image_shape[0]:
            layer.check(self.shape_in(layer))

    def get_layer_list(self) -> list[Layer]:
        """Return the layers in order."""
        return list(self.layers)

    @property
    def last_fitted_layer(self) -> int:
        return next((n for n, layer in enumerate(self.layers) if layer.fitted < layer.steps), len(self.layers))

    @property
    def total_steps(self) -> int:
        """Number of steps of all layers."""
        return sum(layer.steps for layer in self.layers)

    @property
    def fitted_steps(self) -> int:
        """Number of steps that are fitted."""
        return sum(layer.fitted for layer in self.layers)

    @property
    def invertible(self) -> bool:
        """Whether every map is monotone and every layer keeps the number of values, so that there are an inverse and a density."""
        return all(layer.invertible and layer.map.monotone and layer.size is None for layer in self.layers)

    @property
    def image_shape(self) -> Shape:
        """(C, H, W) of the data; zeros before it is known."""
        return tuple(self.shape.tolist())

    def shape_in(self, layer: Layer) -> Shape:
        """Return the shape of the images in a layer."""
        return layer.shape_in(self.image_shape)

    def begin(self, shape: Shape) -> None:
        """Set the shape of the data and check the architecture for it.

        Raises:
            ValueError: the architecture does not fit the data, or the flow was fitted to data of another shape.
        """
        if self.image_shape[0] and self.image_shape != tuple(shape):
            raise ValueError(f"the flow is for data of shape {self.image_shape}, got {tuple(shape)}")
        if not self.layers:
            raise ValueError("layers: expected at least one")
        self.shape.copy_(torch.tensor(shape, device=self.shape.device))
        if self.start is None:
            self.start = StandardNormal(self.start_size()).to(self.shape.device)
        if self.start.size != (size := self.start_size()):
            raise ValueError(f"start: it has points of {self.start.size} values, the first layer has {size}")
        for number, layer in enumerate(self.layers):
            try:
                layer.check(self.shape_in(layer))
            except ValueError as error:
                raise ValueError(f"layer {number + 1}, {type(layer).__name__}: {error}") from error

    def check(self, labels: Tensor) -> None:
        """Check that the flow can be fitted to images with these labels (N,).

        Raises:
            ValueError: there are too few particles or images.
        """
        self.start.check(labels)
        for number, layer in enumerate(self.layers):
            try:
                layer.map.check(self.n_gen_samples, len(labels))
            except ValueError as error:
                raise ValueError(f"layer {number + 1}, {type(layer).__name__}: {error}") from error

    def steps(self) -> Iterator[tuple[int, Layer, int]]:
        """Yield every step: the layer's number, the layer, and the step's number in it."""
        for number, layer in enumerate(self.layers):
            for step in range(layer.steps):
                yield number, layer, step

    # ---------------------------------------------------------------------------------------------------------- fitting

    def fit_start(self, data: Tensor, labels: Tensor) -> None:
        """Fit the start to data (N, D) with the labels (N,), unless it is fitted."""
        if not self.started:
            self.start.fit(data, labels)
            self.started.fill_(True)

    def particles(self, n: int | None = None) -> tuple[Tensor, Tensor]:
        """Return the particles as the fitted steps left them, (D, n) in the size of the last fitted layer, and their labels (n,).

        They are always the same: drawn from `init_seed`, then moved by the same steps in the same blocks as when they were fitted.

        Args:
            n: number of particles at most, as many of each class as far as there are; None: all.
        """
        generator = Generator(self.shape.device).manual_seed(self.init_seed)
        labels = self.start.labels(self.n_gen_samples, generator)
        x = self.drawn(labels, generator, fresh=False)
        if n is not None:
            place_in_class = F.one_hot(labels, self.start.num_classes).cumsum(0).gather(1, labels[:, None])[:, 0]
            chosen = place_in_class.argsort(stable=True)[:n]
            x, labels = x[:, chosen], labels[chosen]
        return self.through(x), labels

    def drawn(self, labels: Tensor, generator: Generator | None, *, fresh: bool = True) -> Tensor:
        """Draw a point of the start for each label (n,), in parts that need little memory: (D, n)."""
        x = torch.empty(self.start_size(), len(labels), device=self.shape.device, dtype=torch.float32)
        for part, of_class in zip(x.split(PART, 1), labels.split(PART), strict=True):
            part.copy_(self.start.sample(of_class, generator, fresh=fresh).T)
        return x

    def start_size(self) -> int:
        """Return the number of values of a point of the start."""
        return math.prod(self.shape_in(self.layers[0]))

    def fit_next(self, x: Tensor, data: Tensor) -> Tensor:
        """Fit the next step to particles x (D, M), and return them moved.

        Args:
            data: (D', N) in the shape of the data; finite.
        """
        number, layer, step = next(one for one in self.steps() if one[2] >= one[1].fitted)
        shape = self.shape_in(layer)
        x = self.resized_to(x, number, step)
        data = resized(data, self.image_shape, shape)
        layer.fit_step(x, data, shape, self.init_seed, number, self.extrapolate)
        return x

    def resized_to(self, x: Tensor, number: int, step: int) -> Tensor:
        """Resize points, if the layer works on another size than the one before it."""
        if step or not number:
            return x
        return resized(x, self.shape_in(self.layers[number - 1]), self.shape_in(self.layers[number]))

    def fit(
        self,
        data: np.ndarray | Tensor,
        labels: np.ndarray | Tensor | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> GenFlow:
        """Fit every step that is not fitted, and return the flow.

        Args:
            data: (N, D) or (N, C, H, W) floats; they are fitted in single precision.
            labels: (N,) int64, for a start with classes; the particles have the classes in the same shares.
            progress: called with the number of fitted steps and of all steps.

        Raises:
            ValueError: NaN or infinite values, or an architecture that does not fit the data.
        """
        self.fit_transform(data, labels, progress=progress)
        return self

    @torch.no_grad()
    def fit_transform(
        self,
        data: np.ndarray | Tensor,
        labels: np.ndarray | Tensor | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray | Tensor:
        """Fit like `fit`, and return the fitted particles: (n_gen_samples, …) in the shape of the data.

        They are what the steps were fitted to; judge a flow by new draws.
        """
        points = self.as_points(data).float()
        self.begin(self.image_shape if self.image_shape[0] else points.shape[1:])
        if not points.isfinite().all():
            raise ValueError("data: expected finite numbers, got NaN or Inf")
        labels = torch.zeros(len(points), dtype=torch.long) if labels is None else torch.as_tensor(labels)
        if len(labels) != len(points):
            raise ValueError(f"expected {len(points)} labels, as many as points, got {len(labels)}")
        self.check(labels)
        self.fit_start(points.flatten(1), labels.to(points.device))
        columns = points.flatten(1).T.contiguous()
        x, _ = self.particles()
        while self.fitted_steps < self.total_steps:
            x = self.fit_next(x, columns)
            if progress:
                progress(self.fitted_steps, self.total_steps)
        return self.as_given(x, data)

    # ------------------------------------------------------------------------------------------------------- application

    @torch.no_grad()
    def through(self, x: Tensor, first: int = 0, until: int | None = None) -> Tensor:
        """Move points (D, M) through the fitted steps first, first + 1, …, until - 1; in place where the size stays."""
        for place, (number, layer, step) in enumerate(self.steps()):
            if step >= layer.fitted or place == until or not x.shape[1]:
                break
            if place >= first:
                x = self.resized_to(x, number, step)
                layer.apply_step(x, step, self.shape_in(layer), self.init_seed, number, self.extrapolate)
        return x

    def check_begun(self) -> None:
        """Check that the shape of the data is known.

        Raises:
            ValueError: it is not.
        """
        if not self.image_shape[0]:
            raise ValueError("the flow was never fitted: call fit first")

    @torch.no_grad()
    def transform(self, z: np.ndarray | Tensor) -> np.ndarray | Tensor:
        """Move points of the start through the fitted steps: (n, …) in the shape of the data."""
        self.check_begun()
        points = self.as_points(z)
        return self.as_given(
            torch.cat([self.through(part.flatten(1).T.contiguous()) for part in points.split(CHUNK)], 1), z
        )

    @torch.no_grad()
    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        """Draw n new points: (n, C, H, W).

        Args:
            labels: (n,) int64, for a start with classes; None: all 0.

        Raises:
            ValueError: the flow was never fitted.
        """
        self.check_begun()
        if labels is None:
            labels = torch.zeros(n, dtype=torch.long, device=self.shape.device)
        return self.as_images(self.through(self.drawn(labels, generator)))

    @torch.no_grad()
    def inverse(self, x: Tensor, *, density: bool = True) -> tuple[Tensor, Tensor | None]:
        """Move points (n, D) or (n, C, H, W) back to the start: (n, D), and the log determinant of the flow's Jacobian there: (n,).

        Args:
            density: whether the log determinant is needed; else it is None, and the way back takes two thirds of the time.

        Raises:
            ValueError: a map is not monotone, or a layer changes the number of values.
        """
        if not self.invertible:
            raise ValueError("an inverse needs monotone maps and layers on the size of the data (Linear and Tiled)")
        self.check_begun()
        y = self.as_points(x).flatten(1).T.clone(memory_format=torch.contiguous_format)
        log_det = y.new_zeros(y.shape[1]) if density else None
        for number, layer, step in reversed([one for one in self.steps() if one[2] < one[1].fitted]):
            layer.invert_step(y, step, self.shape_in(layer), self.init_seed, number, log_det)
        return y.T.contiguous(), log_det

    def log_prob(self, x: Tensor) -> Tensor:
        r"""Return the log density of points (n, D), in nats: log p(x) = log p_start(z) - log |det ∂x/∂z|, x = flow(z): (n,).

        The density needs `extrapolate="linear"`. A flow with many steps may contract so much that z is lost in rounding. Points that do
        not come back from z get NaN.
        """
        z, log_det = self.inverse(x)
        x = self.as_points(x).flatten(1)
        back = self.through(z.T.contiguous().clone()).T
        lost = (back - x).abs().amax(1) > LOST * (1 + x.abs().amax(1))
        return (self.start.log_prob(z) - log_det).masked_fill(lost, math.nan)

    # --------------------------------------------------------------------------------------------------------- arrays

    def as_points(self, data: np.ndarray | Tensor) -> Tensor:
        """Return an array as points (N, C, H, W) on the device of the flow; floats of 64 bits stay so."""
        points = torch.as_tensor(data).to(self.shape.device)
        points = points if points.is_floating_point() else points.float()
        if points.ndim == 2:
            points = points[:, :, None, None]
        if points.ndim != 4 or not points.numel():
            raise ValueError(f"expected points (N, D) or images (N, C, H, W), got {tuple(points.shape)}")
        if self.image_shape[0] and points[0].numel() not in (math.prod(self.image_shape), self.start_size()):
            raise ValueError(f"the flow is for data of shape {self.image_shape}, got {tuple(points.shape[1:])}")
        return points

    def as_images(self, x: Tensor, until: int | None = None) -> Tensor:
        """Return points (D, M) that went through the fitted steps, or the first `until`, as (M, C, H, W) in the shape of the data."""
        done = [layer for _, layer, step in self.steps() if step < layer.fitted][:until]
        if not x.shape[1]:
            return x.new_empty(0, *self.image_shape)
        shape = self.shape_in(done[-1] if done else self.layers[0])
        return resized(x, shape, self.image_shape).T.reshape(-1, *self.image_shape)

    def as_given(self, x: Tensor, like: np.ndarray | Tensor) -> np.ndarray | Tensor:
        """Return points (D, M) as an array of the same kind, with as many dimensions, as the given one."""
        images = self.as_images(x)
        images = images.flatten(1) if np.ndim(like) == 2 else images
        return images if isinstance(like, Tensor) else images.cpu().numpy()


def resized(x: Tensor, shape: Shape, to: Shape) -> Tensor:
    """Resize points (D, M) of one shape to another one, bicubic; (D', M)."""
    if tuple(shape) == tuple(to):
        return x
    images = F.interpolate(x.T.reshape(-1, *shape), size=to[1:], mode="bicubic", antialias=to[1] < shape[1])
    return images.flatten(1).T.contiguous()
