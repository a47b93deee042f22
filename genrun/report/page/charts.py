"""Charts of a page: Vega-Lite specifications as plain dictionaries, and each drawn as SVG for readers without JavaScript.

Their colours are the names of the style sheet, so that they follow light, dark and print.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from genrun.report.tables import number

SPLITS = {"train": "training", "val": "validation", "judge": "early look"}
TITLES = {
    "frechet": "Fréchet distance, early look",
    "kernel": "kernel distance, early look",
    "class_entropy": "class entropy, early look",
    "label_accuracy": "label accuracy, early look",
    "score": "score on held-out images",
}
COLOURS = 8  # --c1 … --c8 of the style sheet
DASHES = [[1, 0], [6, 3], [2, 2]]  # of lines beyond the colours
FEW = 12  # points that are shown as dots as well
CONFIG = {
    "background": "transparent",
    "padding": 2,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "gridColor": "var(--line)",
        "domainColor": "var(--strong-line)",
        "ticks": False,
        "labelPadding": 6,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    "axisX": {"grid": False},
    "axisY": {"domain": False},
    "aria": False,
}


@dataclass(frozen=True)
class Series:
    """A line of a chart, or a group of dots.

    Args:
        name: no other line of the chart has it.
        colour: its place among the colours, from 1; lines that belong together have the same.
        points: (x, y).
        group: the name of the lines of this colour; empty: the name of the line.
    """

    name: str
    colour: int
    points: list[tuple[float, float]]
    group: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart of a page.

    Args:
        title: above it.
        x, y: names of the axes; y may be empty.
        series: its lines, or the groups of its dots.
        height: in pixels, at the width of 340 pixels, or 720 if `wide`.
        dots: points without lines.
        labels: for dots, the text of each point by its series and place, for the tooltip.
    """

    title: str
    x: str
    y: str
    series: list[Series]
    wide: bool = False
    dots: bool = False
    labels: dict[str, list[str]] = field(default_factory=dict)

    @property
    def legend(self) -> list[tuple[int, str]]:
        """The colours, from 1 to `COLOURS`, and the names to show beside the chart: none if the title says it."""
        names = {line.colour: line.group or line.name for line in self.series}
        return [((colour - 1) % COLOURS + 1, name) for colour, name in names.items()] if len(self.series) > 1 else []

    def caption(self) -> str:
        """Say what the chart shows, in words."""
        if self.wide:
            return ""
        return "; ".join(f"{line.name + ': ' if self.legend else ''}{in_words(line.points)}" for line in self.series)

    def spec(self, *, live: bool) -> dict[str, Any]:
        """Return the Vega-Lite specification without `CONFIG`.

        Args:
            live: for a browser: as wide as its place in the page, with a marker that follows the pointer.
        """
        values = [
            {"x": x, "y": y, "s": line.name, "d": str((line.colour - 1) // COLOURS)}
            | ({"label": self.labels[line.name][place]} if self.dots else {})
            for line in self.series
            for place, (x, y) in enumerate(line.points)
        ]
        names = [line.name for line in self.series]
        colours = [f"var(--c{(line.colour - 1) % COLOURS + 1})" for line in self.series]
        encoding: dict[str, Any] = {
            "x": {
                "field": "x",
                "type": "quantitative",
                "title": self.x,
                "axis": self._x_axis(),
                "scale": self._scale(0),
            },
            "y": {
                "field": "y",
                "type": "quantitative",
                "title": self.y or None,
                "axis": {"tickCount": 4},
                "scale": self._scale(1),
            },
            "color": {"field": "s", "type": "nominal", "legend": None, "scale": {"domain": names, "range": colours}},
        }
        tooltip = [
            *(
                [{"field": "label" if self.dots else "s", "type": "nominal", "title": "run" if self.wide else "of"}]
                if self.wide or self.legend
                else []
            ),
            {"field": "x", "type": "quantitative", "title": self.x, "format": ",.5~g"},
            {"field": "y", "type": "quantitative", "title": self.y or self.title, "format": ".4~g"},
        ]
        hover = {"name": "near", "select": {"type": "point", "on": "pointerover", "clear": "pointerout"}}
        shown = self.dots or self._few()

        def nearby(there: float, otherwise: float) -> dict[str, Any]:
            return {"condition": {"param": "near", "empty": False, "value": there}, "value": otherwise}

        point = {
            # the transparent edge makes a point easy to hit
            "mark": {"type": "point", "filled": True, "stroke": "transparent", "strokeWidth": 14},
            "params": [hover],
            "encoding": {
                "size": nearby(80, 45 if self.dots else 18),
                "opacity": nearby(1, 1 if shown else 0),
                "tooltip": tooltip,
            },
        }
        dash = {
            "strokeDash": {
                "field": "d",
                "type": "nominal",
                "legend": None,
                "scale": {"domain": ["0", "1", "2"], "range": DASHES},
            }
        }
        line = {"mark": {"type": "line", "strokeWidth": 1.75, "strokeJoin": "round"}, "encoding": dash}
        return {
            "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
            "width": "container" if live else 660 if self.wide else 290,
            "height": 300 if self.wide else 150,
            "data": {"values": values},
            "encoding": encoding,
            "layer": [*([] if self.dots else [line]), *([point] if live or shown else [])],
        }

    def _few(self) -> bool:
        return max(len(line.points) for line in self.series) <= FEW

    def _all(self, axis: int) -> list[float]:
        return [point[axis] for line in self.series for point in line.points]

    def _scale(self, axis: int) -> dict[str, Any]:
        """Choose a logarithmic axis if all values are positive and span more than a factor of ten; epochs never get one."""
        values = self._all(axis)
        if (axis or self.dots) and min(values) > 0 and max(values) > 10 * min(values):
            return {"type": "log", "nice": self.dots}
        most = sorted(map(abs, values))[len(values) // 2]
        if axis and most > 0 and max(map(abs, values)) > 100 * most:  # one bad epoch hides no other
            return {"type": "symlog", "constant": most, "nice": True}
        return {"zero": False, "nice": bool(axis) or self.dots}

    def _x_axis(self) -> dict[str, Any]:
        return (
            {"tickCount": 5}
            if self.dots
            else {"values": [float(tick) for tick in epoch_ticks(self._all(0))], "format": "d"}
        )


def epoch_ticks(epochs: Sequence[float]) -> list[int]:
    """Return at most six whole numbers for the axis of epochs: every first, second, fifth, tenth, … one."""
    first, last = int(min(epochs)), int(max(epochs))
    steps = (mantissa * 10**power for power in range(12) for mantissa in (1, 2, 5))
    step = next((step for step in steps if (last - first) / step <= 5), last)
    return list(range(-(-first // step) * step, last + 1, step))


def in_words(points: Sequence[tuple[float, float]]) -> str:
    """Describe a curve: where it begins and ends, and where it is lowest."""
    (_, first), (_, last) = points[0], points[-1]
    epoch, lowest = min(points, key=lambda point: point[1])
    low = "" if lowest in (first, last) else f", lowest {number(lowest)} at epoch {epoch:g}"
    return f"from {number(first)} to {number(last)}{low}" if len(points) > 1 else number(first)


def curves(rows: Iterable[dict[str, Any]]) -> list[Chart]:
    """Return a chart for each term of metrics.csv: its training and validation values, or an early look of the judge."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for row in rows:
        for key, value in row.items():
            split, _, term = key.partition("/")
            if split in SPLITS and term and isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(term, {}).setdefault(SPLITS[split], []).append((float(row["epoch"]), value))
    colours = {name: place for place, name in enumerate(SPLITS.values(), start=1)}
    return [
        Chart(
            title_of(term), "epoch", "", [Series(name, colours[name], sorted(points)) for name, points in lines.items()]
        )
        for term, lines in sorted(found.items(), key=lambda item: min(colours[name] for name in item[1]))
        if max(map(len, lines.values())) > 1  # a term of one epoch is a point, not a curve
    ]


def title_of(term: str) -> str:
    """Return the title of a term's chart; `/` comes after a phase of the training."""
    phase, slash, name = term.rpartition("/")
    title = TITLES.get(name, name.replace("_", " "))
    return f"{phase.replace('_', ' ')}: {title}" if slash else title


def svg(chart: Chart) -> str:
    """Draw a chart as SVG."""
    import vl_convert

    return vl_convert.vegalite_to_svg(chart.spec(live=False) | {"config": CONFIG})


@cache
def libraries() -> str:
    """Return the JavaScript of Vega-Lite, about 0.9 MB, as the text of a script; it needs no network."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
