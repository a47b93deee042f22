"""Points have the colours of their classes, and names stand at the medians."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from genrun.figures.plots import NEUTRAL, palette_of
from genrun.figures.scatter import limits, scatter


def test_names_stand_at_the_medians_of_the_classes_that_occur():
    points, labels = np.array([[0.0, 0], [2, 0], [9, 1], [5, 5]]), np.array([0, 0, 2, -1])
    panel = Figure().subplots()
    scatter(panel, points, labels, ["a", "b", "c"])
    assert {text.get_text(): text.get_position() for text in panel.texts} == {"a": (1.0, 0.0), "c": (9.0, 1.0)}
    colours = panel.collections[0].get_facecolors()[:, :3]
    assert np.allclose(colours[2], palette_of(3)[2]) and np.allclose(colours[3], int(NEUTRAL[1:3], 16) / 255)


def test_many_classes_have_no_names_and_equal_values_have_a_range():
    panel = Figure().subplots()
    scatter(panel, np.zeros((30, 2)), np.arange(30), [str(k) for k in range(30)])
    assert not panel.texts
    assert limits(np.zeros(3)) == (-1, 1) and limits(np.array([0.0, 1])) == (-0.04, 1.04)
