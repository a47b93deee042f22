"""Plots of metrics over an option."""

from __future__ import annotations

import numpy as np
import pytest

from genrun.figures.dependence import dependence


def test_one_or_two_metrics_are_drawn_in_their_colours():
    points = [(step / 10, step**2) for step in range(11)]
    one = dependence({"distance": points}, "weight")
    two = dependence({"distance": points, "accuracy": [(x, 1 - x) for x, _ in points]}, "weight", {0.5: "half"})
    assert one.mode == two.mode == "RGB" and one.size == two.size
    orange = [np.abs(np.asarray(image).astype(int) - [224, 123, 0]).sum(-1) < 30 for image in (one, two)]
    assert orange[0].sum() == 0 and orange[1].sum() > 100


@pytest.mark.parametrize("metrics", [{}, {"a": []}, {"a": [(0, 0)], "b": [(0, 0)], "c": [(0, 0)]}])
def test_nothing_to_draw_is_refused(metrics):
    with pytest.raises(ValueError, match="one or two metrics"):
        dependence(metrics, "weight")
