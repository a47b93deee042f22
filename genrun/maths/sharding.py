"""A batch that several processes share: which of its rows are this one's, and what has to be summed over all of them.

Each process computes with its own rows what one process would compute with all, so that their sums differ from the one's by rounding
only. Outside a shared batch everything here gives back what it is given.
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
    """Rows start, …, stop - 1 of a batch of `whole` images.

    A batch of fewer images than processes lends a row to those that have none, which does not count: a mean over no rows would be NaN.

    Attributes:
        counted: rows that count: stop - start, or 0 for a row that is lent.
        processes: that share the batch.
    """

    start: int
    stop: int
    whole: int
    counted: int
    processes: int

    @classmethod
    def of(cls, whole: int, rank: int, processes: int) -> Share:
        """The share of process `rank`: as even as it can be, in the batch's order."""
        start, stop = rank * whole // processes, (rank + 1) * whole // processes
        if start < stop:
            return cls(start, stop, whole, stop - start, processes)
        start = min(start, whole - 1)
        return cls(start, start + 1, whole, 0, processes)

    @property
    def rows(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def weight(self) -> float:
        """Of this process's mean in the batch's: Σ weight · mean is the mean over all rows."""
        return self.counted / self.whole


_current: Share | None = None


@contextlib.contextmanager
def sharing(share: Share) -> Iterator[None]:
    """For the length of a step on a batch of which this process holds a share."""
    global _current
    before, _current = _current, share
    try:
        yield
    finally:
        _current = before


def current() -> Share | None:
    """The share of the batch that a step is about now; None: the whole batch is here."""
    return _current


def whole_shape(shape: torch.Size) -> torch.Size:
    """Of a tensor with a row for each image here, what it is with a row for each image of the batch.

    Raises:
        ValueError: its rows are not those of the share, so it is not known what the other processes have.
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
    """The rows of this process, of a tensor with a row for each image of the batch."""
    return whole if _current is None else whole[_current.rows]


def batch_means(means: dict[str, Tensor]) -> dict[str, Tensor]:
    """Means over the images here (scalars) → means over the batch's, the same in every process; no gradient."""
    if _current is None:
        return means
    total = torch.stack([value.detach().float() for value in means.values()]) * _current.weight
    if not _current.counted:
        total = total.nan_to_num(0, 0, 0)  # of a row that does not count
    distributed.all_reduce(total)
    return {name: total[place].to(value.dtype) for place, (name, value) in enumerate(means.items())}


def gathered(rows: Tensor) -> Tensor:
    """A row for each image here (n, …) → for each of the batch (N, …), in its order, with gradients: what a loss of the batch needs."""
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
        distributed.all_reduce(gradient)  # each process's loss depends on all rows
        own = gradient[share.rows]
        return own if share.counted else torch.zeros_like(own), None
