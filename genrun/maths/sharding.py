"""Share a batch among several processes: which rows each process has, and what is summed over all processes.

Each process does with its own rows what a single process would do with all rows. So the sums over the processes differ from the results
of a single process only by rounding. If no batch is shared, the functions here return what they are given.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Share:
    """The share of one process: rows start, …, stop - 1 of a batch of `whole` images.

    If the batch has fewer images than there are processes, a process without a row borrows one that does not count: a mean over no rows
    would be NaN.

    Attributes:
        counted: number of rows that count: stop - start, or 0 for a borrowed row.
        processes: number of processes that share the batch.
    """

    start: int
    stop: int
    whole: int
    counted: int
    processes: int

    @classmethod
    def of(cls, whole: int, rank: int, processes: int) -> Share:
        """Return the share of the process `rank`. The shares are as even as possible, in the order of the batch."""
        start, stop = rank * whole // processes, (rank + 1) * whole // processes
        if start < stop:
            return cls(start, stop, whole, stop - start, processes)
        start = min(start, whole - 1)
        return cls(start, start + 1, whole, 0, processes)

    @property
    def rows(self) -> slice:
        """Return the rows of this share, as a slice of the batch."""
        return slice(self.start, self.stop)

    @property
    def weight(self) -> float:
        """Return the weight of this process's mean: the sum of weight · mean over the processes is the mean over all rows."""
        return self.counted / self.whole


_current: Share | None = None


@contextlib.contextmanager
def sharing(share: Share) -> Iterator[None]:
    """Make `share` the current share, during a step on a batch that several processes share."""
    global _current
    before, _current = _current, share
    try:
        yield
    finally:
        _current = before


def current() -> Share | None:
    """Return this process's share of the batch of the current step; None: this process has the whole batch."""
    return _current


def whole_shape(shape: torch.Size) -> torch.Size:
    """Return the shape for the whole batch of a tensor with this shape, which has a row for each image of this process.

    Raises:
        ValueError: the shape does not have as many rows as the share, so the shapes in the other processes are not known.
    """
    if _current is None:
        return shape
    if len(shape) == 0 or shape[0] != _current.stop - _current.start:
        raise ValueError(
            f"a batch is shared among processes: expected a tensor with a row for each of the {_current.stop - _current.start} "
            f"images that are here, got {tuple(shape)}"
        )
    return torch.Size((_current.whole, *shape[1:]))


def own_rows(whole: Tensor) -> Tensor:
    """Return the rows of this process from a tensor that has a row for each image of the batch."""
    return whole if _current is None else whole[_current.rows]


def batch_means(means: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn means over the images of this process (scalars) into means over the whole batch, equal in every process; no gradient."""
    if _current is None:
        return means
    total = torch.stack([value.detach().float() for value in means.values()]) * _current.weight
    if not _current.counted:
        total = total.nan_to_num(0, 0, 0)  # a borrowed row does not count
    distributed.all_reduce(total)
    return {name: total[place].to(value.dtype) for place, (name, value) in enumerate(means.items())}


def gathered(rows: Tensor) -> Tensor:
    """Gather the rows of all processes, in the order of the batch: (n, …) → (N, …), with gradients.

    A loss that is not a mean over the images needs this.
    """
    if _current is None:
        return rows
    whole_shape(rows.shape)
    return _Gathered.apply(rows, _current)


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, share: Share) -> Tensor:
        ctx.share = share
        whole = rows.new_zeros(share.whole, *rows.shape[1:])
        if share.counted:
            whole[share.rows] = rows
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        share = ctx.share
        gradient = gradient.contiguous().clone()
        distributed.all_reduce(gradient)  # the loss of each process depends on all rows
        own = gradient[share.rows]
        return own if share.counted else torch.zeros_like(own), None
