"""One score of several runs against their epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from genrun.figures.plots import STYLE, palette_of, picture_of

if TYPE_CHECKING:
    from matplotlib.axis import Axis

MANY = 100  # epochs from which on their axis is logarithmic: early ones are what tells runs apart


def compared(scores: Mapping[str, Sequence[tuple[int, float]]], score: str) -> Image.Image:
    """A line for each run, named in the legend in the order of their last values.

    Args:
        scores: name of a run → (epoch, value) in the order of epochs; not empty, every value positive or all linear.
        score: what the values are.

    Raises:
        ValueError: no run, or one without epochs.
    """
    if not scores or not all(scores.values()):
        raise ValueError("expected at least one run and an epoch of each")

    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

    def plain(axis: Axis) -> None:
        """Numbers as they are on a logarithmic axis: 1, 2, 5, 10, …"""
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_locator(NullLocator())

    with style.context(["default", STYLE]):  # whatever the user's matplotlibrc says
        figure = Figure(figsize=(8.5, 4.2))
        panel = figure.subplots()
        names = sorted(scores, key=lambda name: -scores[name][-1][1])
        colours = dict(zip(scores, palette_of(len(scores)), strict=True))
        for name in names:
            epochs, values = zip(*scores[name], strict=True)
            panel.plot(epochs, values, color=colours[name], linewidth=1.4, label=name)
        every = [value for points in scores.values() for _, value in points]
        if min(every) > 0 and max(every) > 5 * min(every):
            panel.set_yscale("log")
            plain(panel.yaxis)
        if max(epoch for points in scores.values() for epoch, _ in points) >= MANY:
            panel.set_xscale("log")
            plain(panel.xaxis)
        else:
            panel.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
        panel.set(xlabel="epoch", ylabel=score)
        panel.grid(axis="y", color="#ececec", linewidth=0.8)
        panel.set_axisbelow(True)
        figure.legend(loc="outside right center")
        return picture_of(figure)
