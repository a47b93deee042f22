"""Clouds of points in three dimensions: each in space, and its first and third coordinate in a plane with their marginals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from genrun.figures.plots import STYLE, TRAIN, VALIDATION
from genrun.figures.scatter import limits

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

BINS = 60


def point_clouds(clouds: Mapping[str, np.ndarray]) -> Image.Image:
    """Draw clouds of points side by side, as the poster shows its Swiss roll: with the ranges of the first one, if most points are in them.

    Args:
        clouds: name → points (N, 3), at least one point each.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ranges = ranges_of(next(iter(clouds.values())))
    with rc_context(STYLE | {"figure.constrained_layout.use": False}):
        figure = Figure(figsize=(2.9 * len(clouds), 5.6))
        FigureCanvasAgg(figure)
        for part, (name, points) in zip(
            figure.subfigures(1, len(clouds), squeeze=False)[0], clouds.items(), strict=True
        ):
            draw(part, name, points, ranges if is_inside(points, ranges).mean() > 0.5 else ranges_of(points))
        figure.canvas.draw()
        return Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())


def ranges_of(points: np.ndarray) -> list[tuple[float, float]]:
    """Return the ranges of the axes that show these points (N, 3)."""
    return [limits(axis) for axis in points.T]


def is_inside(points: np.ndarray, ranges: list[tuple[float, float]]) -> np.ndarray:
    """Return which points (N, 3) are in the ranges: (N,)."""
    return np.logical_and.reduce(
        [(low <= axis) & (axis <= high) for axis, (low, high) in zip(points.T, ranges, strict=True)]
    )


def draw(part: SubFigure, name: str, points: np.ndarray, ranges: list[tuple[float, float]]) -> None:
    """Draw one cloud: in space above, in the plane of the first and third coordinate below, between histograms of both."""
    part.suptitle(f"{name}, {len(points):,}", fontsize=9)
    space = part.add_axes((0.02, 0.48, 0.96, 0.46), projection="3d")
    inside = is_inside(points, ranges)
    space.scatter(*points[inside].T, s=2, c=points[inside, 1], cmap="viridis", linewidths=0)
    space.set(xlim=ranges[0], ylim=ranges[1], zlim=ranges[2], xticks=[], yticks=[], zticks=[])
    space.view_init(elev=12, azim=-70)
    plane = part.add_axes((0.08, 0.04, 0.66, 0.34))
    plane.scatter(points[:, 0], points[:, 2], s=2, c=TRAIN, alpha=0.5, linewidths=0)
    plane.set(xlim=ranges[0], ylim=ranges[2], xticks=[], yticks=[])
    above = part.add_axes((0.08, 0.385, 0.66, 0.07))
    above.hist(points[:, 0], BINS, ranges[0], color=VALIDATION)
    above.set(xlim=ranges[0])
    above.axis("off")
    right = part.add_axes((0.75, 0.04, 0.14, 0.34))
    right.hist(points[:, 2], BINS, ranges[2], color=VALIDATION, orientation="horizontal")
    right.set(ylim=ranges[2])
    right.axis("off")
