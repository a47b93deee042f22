"""A plot of one or two metrics over an option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image

from genrun.figures.plots import NEUTRAL, STYLE, TRAIN, VALIDATION, picture_of


def dependence(
    metrics: Mapping[str, Sequence[tuple[float, float]]], option: str, marked: Mapping[float, str] | None = None
) -> Image.Image:
    """Draw one or two metrics over an option; a second metric has its own axis on the right.

    Args:
        metrics: name → points (value of the option, value of the metric), in the order of the option.
        option: what the option is, for the axis.
        marked: values of the option where a dotted line stands, with the text beside each.

    Raises:
        ValueError: no metric or more than two, or one without points.
    """
    if not 1 <= len(metrics) <= 2 or not all(metrics.values()):
        raise ValueError(f"expected one or two metrics with points, got {list(metrics)}")

    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", STYLE]):  # ignore the user's matplotlibrc
        figure = Figure(figsize=(5.6, 3.6))
        panel = figure.subplots()
        panels = [panel, panel.twinx()] if len(metrics) == 2 else [panel]
        for each, colour, (name, points) in zip(panels, (TRAIN, VALIDATION), metrics.items(), strict=False):
            each.plot(*zip(*points, strict=True), color=colour, linewidth=1.4, marker="o", markersize=3.5)
            each.set_ylabel(name, color=colour)
            each.tick_params(axis="y", labelcolor=colour)
        if len(metrics) == 2:
            panels[1].spines["right"].set_visible(True)
        for value, text in (marked or {}).items():
            panel.axvline(value, color=NEUTRAL, linewidth=0.9, linestyle=":")
            panel.annotate(
                text, (value, 0.02), xycoords=("data", "axes fraction"), xytext=(4, 0), textcoords="offset points"
            )
        panel.set_xlabel(option)
        panel.grid(axis="y", color="#ececec", linewidth=0.8)
        panel.set_axisbelow(True)
        return picture_of(figure)
