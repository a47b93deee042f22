"""Points of classes in a plane, as all figures of codes draw them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from genrun.figures.plots import NEUTRAL, TRAIN, palette_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMES = 20  # classes whose names are written


def scatter(panel: Axes, points: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> None:
    """Draw points (N, 2) in the colours of their classes, and write the name of each class at its median.

    Args:
        labels: (N,) integers; -1 for a point without a label, which is grey.
        class_names: the names of the classes; empty: one colour for all points. With more than 20 classes that occur, no names.
    """
    palette = palette_of(len(class_names))
    colours = [palette[label] if label >= 0 else NEUTRAL for label in labels] if class_names else TRAIN
    panel.scatter(*points.T, s=7, c=colours, alpha=0.75, linewidths=0)
    present = [k for k in range(len(class_names)) if (labels == k).any()]
    for k in present if len(present) <= MOST_NAMES else ():
        x, y = np.median(points[labels == k], axis=0)
        box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}
        panel.text(x, y, class_names[k], color=palette[k], ha="center", va="center", weight="bold", bbox=box)


def limits(values: np.ndarray) -> tuple[float, float]:
    """Return an axis range with a margin at both ends of the values."""
    low, high = values.min(), values.max()
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room
