"""A plot of quality against cost. It needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from PIL import Image

from genrun.figures.plots import NEUTRAL, STYLE, TRAIN, picture_of

if TYPE_CHECKING:
    from matplotlib.axis import Axis

Value = tuple[float, float]  # mean, deviation


def tradeoff(points: Mapping[str, tuple[Value, Value]], cost: str, quality: str) -> Image.Image:
    """Draw points of quality (lower is better) over cost on logarithmic axes; lines join the points that no other beats in both.

    Args:
        points: name → (cost, quality), each as mean and deviation. An axis with a value of 0 or less is linear.
        cost: what the cost is, for the axis.
        quality: what the quality is.

    Raises:
        ValueError: there are no points.
    """
    if not points:
        raise ValueError("expected at least one point, got none")

    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", STYLE]):  # ignore the user's matplotlibrc
        figure = Figure(figsize=(6.4, 4.2))
        panel = figure.subplots()
        unbeaten = pareto({name: (x, y) for name, ((x, _), (y, _)) in points.items()})
        panel.plot(*zip(*(unbeaten.values()), strict=True), color=NEUTRAL, linewidth=0.9, linestyle=":", zorder=1)
        for name, ((x, dx), (y, dy)) in points.items():
            panel.errorbar(x, y, xerr=dx or None, yerr=dy or None, fmt="o", color=TRAIN, markersize=5, linewidth=1)
            panel.annotate(name, (x, y), xytext=(6, 4), textcoords="offset points", fontsize=8)
        if all(x > 0 for (x, _), _ in points.values()):
            panel.set_xscale("log")
            number_ticks(panel.xaxis)
        if all(y > 0 for _, (y, _) in points.values()):
            panel.set_yscale("log")
            number_ticks(panel.yaxis)
        panel.set_xlabel(cost)
        panel.set_ylabel(f"{quality}, lower is better")
        panel.grid(color="#ececec", linewidth=0.8)
        panel.set_axisbelow(True)
        panel.margins(0.15)
        return picture_of(figure)


def number_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers: 1, 2, 5, 10, …"""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_locator(NullLocator())


def pareto(points: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Return the points than which no other is as small in both values and smaller in one, by their first value."""
    left: dict[str, tuple[float, float]] = {}
    for name, (x, y) in sorted(points.items(), key=lambda one: one[1]):
        if all(y < other for _, other in left.values()):
            left[name] = (x, y)
    return left
