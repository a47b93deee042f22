"""Layers of a flow without gradients: each step projects the points, carries every marginal to that of the data, and turns back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Generator, Tensor

from genrun.maths.growing import Growing
from genrun.maths.transport.directions import haar, largest_slices
from genrun.maths.transport.marginal_maps import Extrapolate, MarginalMap, Monotone

Shape = tuple[int, int, int]

# values that are mapped at a time: with more of them temporary tensors leave the cache, with fewer there are more calls
BLOCK = 2**19
INVERSE_BLOCK = (
    2**17
)  # values that are inverted at a time: fewer, because an inverse has more temporary tensors, of 64 bits
PROJECTED = 2**24  # values that are projected at a time: a product of large matrices, of 64 MiB here
# Temporary tensors of this size come and go. The C library asks the system for each one anew, which takes longer than the arithmetic,
# until a block of nearly 32 MiB was freed once; then it keeps what is freed.
torch.empty(2**23 - 2**12)
SLICE_POINTS = 4000  # points among which optimised slices are searched


def step_generator(seed: int, layer: int, step: int) -> Generator:
    """Return the generator of the random choices of one step; they do not depend on other steps."""
    state = np.random.SeedSequence((seed, layer, step)).generate_state(2, np.uint32)
    return Generator().manual_seed(int(state[0]) << 32 | int(state[1]))


class Layer(Growing):
    """Some steps of one kind. Points are columns: (D, M) with D = C·H·W.

    Args:
        steps: number of steps.
        map: the family of one-dimensional maps; None: monotone.
        size: height and width of the images in this layer, in pixels; below 1: their share of the data's; None: those of the data.
            Between layers of different sizes the images are resized (bicubic).

    Attributes:
        maps: parameters of the steps that are fitted, (fitted, S, P).
    """

    invertible = False

    def __init__(self, steps: int = 1, map: MarginalMap | None = None, size: float | None = None) -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"steps: expected at least 1, got {steps}")
        check_length("size", size)
        self.steps, self.map, self.size = steps, map or Monotone(), size
        self.register_buffer("maps", torch.zeros(0, 0, 0))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.fitted} of {self.steps} steps fitted)"

    @property
    def fitted(self) -> int:
        """Number of steps that are fitted."""
        return len(self.maps)

    def shape_in(self, shape: Shape) -> Shape:
        """Return the shape of the images in this layer, if the data has this shape."""
        if self.size is None:
            return shape
        return shape[0], *(max(1, round(self.size * side)) if self.size < 1 else int(self.size) for side in shape[1:])

    def check(self, shape: Shape) -> None:
        """Check that the layer can work on images of this shape.

        Raises:
            ValueError: a patch is larger than the image.
        """

    def resize(self, shapes: Mapping[str, Sequence[int]]) -> None:
        if shapes.get("maps", (0,))[0] > self.steps:
            raise ValueError(f"weights of another architecture: {shapes['maps'][0]} steps in a layer of {self.steps}")
        super().resize(shapes)

    def fit_step(self, x: Tensor, data: Tensor, shape: Shape, seed: int, layer: int, extrapolate: Extrapolate) -> None:
        """Fit the next step, which carries the points x (D, M) towards the data (D, N), and move x in place."""
        raise NotImplementedError

    def apply_step(self, x: Tensor, step: int, shape: Shape, seed: int, layer: int, extrapolate: Extrapolate) -> None:
        """Move the points x (D, M) by a fitted step, in place."""
        raise NotImplementedError

    def invert_step(self, x: Tensor, step: int, shape: Shape, seed: int, layer: int, log_det: Tensor | None) -> None:
        """Move points (D, M) back through a fitted step, in place; add its log determinant there to `log_det` (M,), if any."""
        raise NotImplementedError

    def fit_maps(self, y: Tensor, targets: Tensor) -> Tensor:
        """Fit a map to each row of y (S, M), which carries it to that row of the targets (S, N): parameters (S, P)."""
        rows = max(1, BLOCK // (self.map.spread * max(y.shape[1], targets.shape[1])))
        return torch.cat([self.map.fit(*some) for some in zip(y.split(rows), targets.split(rows), strict=True)])

    def change_by_maps_(self, y: Tensor, parameters: Tensor, extrapolate: Extrapolate) -> Tensor:
        """Replace each row of y (S, M) by how much its map, with parameters (S, P), changes it."""
        rows = max(1, BLOCK // y.shape[1])
        for first in range(0, len(y), rows):
            some = y[first : first + rows]
            some.neg_().add_(self.map(parameters[first : first + rows], some.neg(), extrapolate))
        return y

    def keep(self, parameters: Tensor) -> None:
        """Add the parameters (S, P) of a fitted step."""
        self.maps = torch.cat([self.maps.view(-1, *parameters.shape), parameters[None].to(self.maps)])


class Tiled(Layer):
    r"""Steps on separate patches of the image, with a rotation and maps for each patch.

        x ← x + Rᵀ (ψ(R x) - R x)                                  (NOTA, "Core idea"), for each tile x

    ψ maps each coordinate of R x by its own one-dimensional map. The grid of tiles is shifted by a random number of pixels in every
    step, around the edges. If the patch does not divide the image, a strip without tiles remains; the shift moves it.

    Args:
        patch: height and width of a tile, in pixels; below 1: their share of the image's smaller side; None: the whole image is one tile.
        slices: number of directions in each tile; None: as many as it has values, which is a rotation.
        optimised: the directions are those on which the points and the data differ most, instead of random ones.
        steps, map, size: see `Layer`.

    Attributes:
        directions: (fitted, tiles, slices, C·p·p) if they are optimised; otherwise empty: they are drawn again from the seed.

    References:
        Dai and Seljak, Sliced iterative normalizing flows, 2021, section 3 (patches with random shifts).
    """

    invertible = True

    def __init__(
        self,
        patch: float | None,
        steps: int = 1,
        map: MarginalMap | None = None,
        size: float | None = None,
        slices: int | None = None,
        optimised: bool = False,
    ) -> None:
        super().__init__(steps, map, size)
        check_length("patch", patch)
        if slices is not None and slices < 1:
            raise ValueError(f"slices: expected at least 1, got {slices}")
        self.patch, self.slices, self.optimised = patch, slices, optimised
        self.register_buffer("directions", torch.zeros(0, 0, 0, 0))

    def check(self, shape: Shape) -> None:
        if self.patch is not None and not 1 <= self.side(shape) <= min(shape[1:]):
            raise ValueError(f"patch={self.patch}: the image has only {shape[1]}×{shape[2]} pixels")
        if self.slices is not None and self.slices > (values := self.values(shape)):
            raise ValueError(f"slices={self.slices}: a tile has only {values} values")

    def side(self, shape: Shape) -> int:
        """Return the height and width of a tile in pixels."""
        return round(self.patch * min(shape[1:])) if self.patch < 1 else int(self.patch)

    def values(self, shape: Shape) -> int:
        """Return the number of values in a tile."""
        return math.prod(shape) if self.patch is None else shape[0] * self.side(shape) ** 2

    def places(self, shape: Shape, generator: Generator) -> Tensor:
        """Return the places of the values of each tile: (tiles, C·p·p) int64; the shift of the grid is drawn."""
        all_places = torch.arange(math.prod(shape)).view(shape)
        if self.patch is None:
            return all_places.view(1, -1)
        C, H, W = shape
        down, right = (int(torch.randint(side, (), generator=generator)) for side in (H, W))
        p = self.side(shape)
        rows, columns = H // p, W // p
        shifted = all_places.roll((-down, -right), (1, 2))[:, : rows * p, : columns * p]
        return shifted.reshape(C, rows, p, columns, p).permute(1, 3, 0, 2, 4).reshape(rows * columns, C * p * p)

    def geometry(self, shape: Shape, seed: int, layer: int, step: int, like: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the places of the tiles of a step, and their directions (tiles, K, C·p·p); None for those not found yet."""
        generator = step_generator(seed, layer, step)
        places = self.places(shape, generator).to(like.device)
        if self.optimised:
            return places, self.directions[step].to(like) if step < len(self.directions) else None
        values = self.values(shape)
        return places, haar(len(places), self.slices or values, values, generator, like.dtype).to(like.device)

    def parts(self, x: Tensor, places: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield some tiles at a time, as a slice of the tiles and their values (T, C·p·p, M); changes of the values go back into x.

        If one tile is the whole image, its values are x itself.
        """
        if len(places) == 1 and len(x) == places.shape[1]:
            yield slice(0, 1), x[None]
            return
        tiles = max(1, PROJECTED // (places.shape[1] * x.shape[1]))
        for first in range(0, len(places), tiles):
            some = slice(first, min(first + tiles, len(places)))
            at = places[some].flatten()
            values = x.index_select(0, at)
            yield some, values.view(-1, places.shape[1], x.shape[1])
            x.index_copy_(0, at, values)

    @staticmethod
    def rows(R: Tensor, points: int) -> Iterator[slice]:
        """Yield some of the directions R (T, K, d) at a time.

        They are orthonormal, so moving points along some of them does not change their coordinates along the others.
        """
        rows = max(1, PROJECTED // (len(R) * points))
        for first in range(0, R.shape[1], rows):
            yield slice(first, min(first + rows, R.shape[1]))

    def fit_step(self, x: Tensor, data: Tensor, shape: Shape, seed: int, layer: int, extrapolate: Extrapolate) -> None:
        places, R = self.geometry(shape, seed, layer, self.fitted, x)
        if R is None:
            R = self.search(x, data, places, step_generator(seed, layer, self.fitted))
            self.directions = torch.cat([self.directions.view(-1, *R.shape), R[None].to(self.directions)])
        maps = []
        for tiles, values in self.parts(x, places):
            of_data, fitted = tiles_of(data, places[tiles]), []
            for rows in self.rows(R[tiles], x.shape[1]):
                y, targets = R[tiles, rows] @ values, R[tiles, rows] @ of_data  # (T, K, M), (T, K, N)
                fitted.append(self.fit_maps(y.flatten(0, 1), targets.flatten(0, 1)).view(*y.shape[:2], -1))
                self.move(values, R[tiles, rows], y, fitted[-1], extrapolate)
            maps.append(torch.cat(fitted, 1))
        self.keep(torch.cat(maps).flatten(0, 1))

    def apply_step(self, x: Tensor, step: int, shape: Shape, seed: int, layer: int, extrapolate: Extrapolate) -> None:
        places, R = self.geometry(shape, seed, layer, step, x)
        maps = self.maps[step].view(*R.shape[:2], -1).to(x)
        for tiles, values in self.parts(x, places):
            for rows in self.rows(R[tiles], x.shape[1]):
                self.move(values, R[tiles, rows], R[tiles, rows] @ values, maps[tiles, rows], extrapolate)

    def move(self, values: Tensor, R: Tensor, y: Tensor, parameters: Tensor, extrapolate: Extrapolate) -> None:
        """Carry the coordinates y (T, K, M) of tiles along R (T, K, d) by maps (T, K, P); change the tiles (T, d, M) in place."""
        change = self.change_by_maps_(y.flatten(0, 1), parameters.flatten(0, 1), extrapolate)
        values.baddbmm_(R.mT, change.view_as(y))

    def invert_step(self, x: Tensor, step: int, shape: Shape, seed: int, layer: int, log_det: Tensor | None) -> None:
        places, R = self.geometry(shape, seed, layer, step, x)
        maps = self.maps[step].view(*R.shape[:2], -1).to(x)
        for tiles, values in self.parts(x, places):
            for rows in self.rows(R[tiles], x.shape[1]):
                y = R[tiles, rows] @ values
                flat, parameters = y.flatten(0, 1), maps[tiles, rows].flatten(0, 1)
                some = max(1, INVERSE_BLOCK // y.shape[2])
                for first in range(0, len(flat), some):
                    part = flat[first : first + some]
                    before, log_slopes = self.map.inverse(
                        parameters[first : first + some], part, slopes=log_det is not None
                    )
                    if log_det is not None:
                        log_det += log_slopes.sum(0)
                    part.neg_().add_(before)
                values.baddbmm_(R[tiles, rows].mT, flat.view_as(y))

    def search(self, x: Tensor, data: Tensor, places: Tensor, generator: Generator) -> Tensor:
        """Find the directions on which some of the points and of the data differ most: (tiles, K, C·p·p)."""
        some = [
            points[:, torch.randperm(points.shape[1], generator=generator)[:SLICE_POINTS].to(points.device)]
            for points in (x, data)
        ]
        count = self.slices or places.shape[1]
        return torch.stack([largest_slices(some[0][at], some[1][at], count, generator=generator) for at in places])


class Linear(Tiled):
    """Steps on the whole image: `Tiled` with one tile.

    Args:
        steps, map, size: see `Layer`.
        slices, optimised: see `Tiled`.
    """

    def __init__(
        self,
        steps: int = 1,
        map: MarginalMap | None = None,
        size: float | None = None,
        slices: int | None = None,
        optimised: bool = False,
    ) -> None:
        super().__init__(None, steps, map, size, slices, optimised)


def check_length(name: str, length: float | None) -> None:
    """Check a length in pixels, or below 1 as a share.

    Raises:
        ValueError: it is neither.
    """
    if length is not None and (length <= 0 or (length > 1 and length % 1)):
        raise ValueError(f"{name}: expected a whole number of pixels, or a share below 1, got {length}")


def tiles_of(x: Tensor, places: Tensor) -> Tensor:
    """Return the tiles of points (D, M) at these places (T, d): (T, d, M); a view if one tile is the whole."""
    if len(places) == 1 and len(x) == places.shape[1]:
        return x[None]
    return x.index_select(0, places.flatten()).view(*places.shape, -1)
