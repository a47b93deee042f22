"""Rows on memorisation: whether samples are nearer to training images than unseen real images are."""

from __future__ import annotations

from torch import Tensor

from genrun.evaluation.features import Space
from genrun.evaluation.metrics.memorisation import authenticity, copying_statistic, distance_ratio
from genrun.evaluation.metrics.neighbours import nearest
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row


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
    test_cells = nearest(test, known.centres)[1][:, 0]

    def statistic(to_train: Tensor, features: Tensor) -> float | None:
        try:
            return copying_statistic(to_train, nearest(features, known.centres)[1][:, 0], known.test, test_cells)
        except ValueError:  # no cell has enough images
            return None

    def row(name: str, value: float | None, floor: float | None, note: str) -> Row:
        protocol = f"to {len(known.train):,} training images"
        name, count = f"{name}{' (binarised)' if binary else ''}", len(samples)
        floor, floor_count = (floor, len(held_out)) if len(held_out) else (None, None)
        return Row(
            name, value, floor, None if floor_count == count else floor_count, None, count, protocol, note, "real"
        )

    c_t = statistic(distances, samples)
    return [
        row(
            "nearest-neighbour ratio",
            distance_ratio(distances, known.test),
            distance_ratio(known.held_out, known.test),
            "0: copies; 1: as far as test images",
        ),
        row(
            "authenticity",
            authenticity(distances, which, known.train),
            authenticity(known.held_out, known.held_out_nearest, known.train),
            "0: copies",
        ),
        row(
            "copying statistic C_T",
            c_t,
            statistic(known.held_out, held_out),
            verdict(c_t),
        ),
    ]


def verdict(c_t: float | None) -> str:
    """Describe C_T in words; more than three standard deviations from 0 are not chance."""
    if c_t is None:
        return "too few samples in every cell"
    if c_t < -3:
        return "nearer to training images than test images are: copied"
    return "further off than test images are, no sign of copies" if c_t > 3 else "no sign of copies"
