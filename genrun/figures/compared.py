"""A plot that compares a score of several runs over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from genrun.figures.plots import STYLE, palette_of, picture_of

if TYPE_CHECKING:
    from matplotlib.axis import Axis

MARKED = 12  # up to so many epochs are marked by points
LOG_FROM = 100  # from so many epochs on, their axis is logarithmic, because runs differ most in early epochs


def compared(scores: Mapping[str, Sequence[tuple[int, float]]], score: str) -> Image.Image:
    """Draw the score of each run as a line over the epochs; the legend is sorted by the last values.

    Args:
        scores: run name → (epoch, value) in the order of epochs, not empty. If all values are positive and they span more
            than a factor of five, the value axis is logarithmic.
        score: name of the score, for the axis.

    Raises:
        ValueError: there is no run, or a run has no epochs.
    """
    if not scores or not all(scores.values()):
        raise ValueError("expected at least one run and an epoch of each")

    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

    def plain(axis: Axis) -> None:
        """Label a logarithmic axis with plain numbers: 1, 2, 5, 10, …"""
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_locator(NullLocator())

    with style.context(["default", STYLE]):  # ignore the user's matplotlibrc
        figure = Figure(figsize=(8.5, 4.2))
        panel = figure.subplots()
        names = sorted(scores, key=lambda name: -scores[name][-1][1])
        colours = dict(zip(scores, palette_of(len(scores)), strict=True))
        for name in names:
            epochs, values = zip(*scores[name], strict=True)
            marker = "o" if len(epochs) <= MARKED else ""  # the line of one epoch alone is not seen
            panel.plot(epochs, values, color=colours[name], linewidth=1.4, marker=marker, markersize=3, label=name)
        every = [value for points in scores.values() for _, value in points]
        if min(every) > 0 and max(every) > 5 * min(every):
            panel.set_yscale("log")
            plain(panel.yaxis)
        every_epoch = {epoch for points in scores.values() for epoch, _ in points}
        if len(every_epoch) == 1:
            panel.set_xlim(min(every_epoch) - 1, max(every_epoch) + 1)
        if max(every_epoch) >= LOG_FROM:
            panel.set_xscale("log")
            plain(panel.xaxis)
        else:
            panel.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
        panel.set(xlabel="epoch", ylabel=score)
        panel.grid(axis="y", color="#ececec", linewidth=0.8)
        panel.set_axisbelow(True)
        figure.legend(loc="outside right center")
        return picture_of(figure)
