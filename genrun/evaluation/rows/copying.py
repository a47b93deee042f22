"""Rows on memorisation: whether samples are nearer to training images than unseen real images are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genrun.evaluation.cache import as_tensors
from genrun.evaluation.features import Space
from genrun.evaluation.metrics.memorisation import authenticity, copying_statistic, distance_ratio
from genrun.evaluation.metrics.neighbours import nearest
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row
from genrun.evaluation.spread import resampled

RATIO, AUTHENTICITY, C_T = "nearest-neighbour ratio", "authenticity", "copying statistic C_T"


def copying_rows(real: RealImages, space: Space, samples: Tensor, binary: bool = False) -> list[Row]:
    """Return rows of nearest-neighbour ratio, authenticity and C_T; held-out real images give the floor.

    Args:
        real: the real images.
        space: a feature space that was not trained with labels, because a classifier knows its training images too well.
        samples: features (n, d) of the samples in this space.
        binary: compare with binarised real images.
    """
    known, test = real.distances_to_train(space, binary), real.features(space, "test", binary)
    distances, which = (part[:, 0] for part in nearest(samples, real.features(space, "train", binary)))
    held_out = real.features(space, "validation", binary)
    test_cells, cells, held_out_cells = (nearest(part, known.centres)[1][:, 0] for part in (test, samples, held_out))

    def statistic(to_train: Tensor, in_cells: Tensor) -> float | None:
        try:
            return copying_statistic(to_train, in_cells, known.test, test_cells)
        except ValueError:  # no cell has enough images
            return None

    of_held_out: dict[str, Callable[[Tensor], float | None]] = {
        RATIO: lambda some: distance_ratio(known.held_out[some], known.test),
        AUTHENTICITY: lambda some: authenticity(known.held_out[some], known.held_out_nearest[some], known.train),
        C_T: lambda some: statistic(known.held_out[some], held_out_cells[some]),
    }

    def spreads() -> dict[str, Tensor]:
        return as_tensors({name: resampled(of, len(held_out), len(samples)) for name, of in of_held_out.items()})

    spread = real.statistics(f"{space.hash[:16]}-copying-spread-{len(samples)}{'-binary' if binary else ''}", spreads)
    c_t = statistic(distances, cells)
    everyone, floor_count = torch.arange(len(held_out)), None if len(held_out) == len(samples) else len(held_out)
    return [
        Row(
            f"{name}{' (binarised)' if binary else ''}",
            value,
            of_held_out[name](everyone) if len(held_out) else None,
            floor_count if len(held_out) else None,
            count=len(samples),
            protocol=f"to {len(known.train):,} training images",
            note=note,
            best="real",
            floor_spread=spread[name].item() if len(held_out) else None,
        )
        for name, value, note in (
            (RATIO, distance_ratio(distances, known.test), "0: copies; 1: as far as test images"),
            (AUTHENTICITY, authenticity(distances, which, known.train), "0: copies"),
            (C_T, c_t, verdict(c_t)),
        )
    ]


def verdict(c_t: float | None) -> str:
    """Describe C_T in words; more than three standard deviations from 0 are not chance."""
    if c_t is None:
        return "too few samples in every cell"
    if c_t < -3:
        return "nearer to training images than test images are: copied"
    return "further off than test images are, no sign of copies" if c_t > 3 else "no sign of copies"
