"""Plots: training curves, and codes before and after training. They use matplotlib's objects, not pyplot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAIN, VALIDATION = "#1f5f99", "#e07b00"
NEUTRAL = "#8a8a8a"  # colour of points without a class, if others have one
MOST_POINTS = 2000
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.edgecolor": "#b0b0b0",
    "axes.linewidth": 0.8,
    "axes.labelcolor": "#303030",
    "text.color": "#303030",
    "xtick.color": "#b0b0b0",
    "ytick.color": "#b0b0b0",
    "xtick.labelcolor": "#505050",
    "ytick.labelcolor": "#505050",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.07,
    "figure.constrained_layout.w_pad": 0.07,
    "figure.dpi": 110,
    "text.parse_math": False,  # a $ in a name stays a $
}


def curves(rows: Sequence[dict[str, Any]]) -> Image.Image:
    """Draw training curves: a small panel for each term, `train/…` and `val/…` over the epochs, at most three panels a row.

    The y axis is logarithmic if all values of a panel are positive and span more than a factor of ten. If they are not all positive and
    one is a hundred times as far from 0 as most, the axis is logarithmic beyond most of them, so that one bad epoch hides no other.

    Args:
        rows: one dict per epoch (metrics.csv), with `epoch` and keys `train/<term>`, `val/<term>`; other keys are
            ignored. Values are numbers, or numbers as text. None, "" and infinite or NaN values are left out.

    Raises:
        ValueError: no row has a finite value of any term, a row has no `epoch`, or a value is not a number.
    """
    series = _series(rows)
    if not series:
        raise ValueError(
            f"curves expects rows with epoch and train/… or val/… values, got {len(rows)} rows without any"
        )
    terms = list(dict.fromkeys(term for term, _ in series))
    across = min(3, len(terms))
    down = -(-len(terms) // across)

    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FixedLocator, FormatStrFormatter, LogLocator, MaxNLocator, NullLocator

    with style.context(["default", STYLE]):  # ignore the user's matplotlibrc
        figure = Figure(figsize=(3.0 * across + 0.3, 2.2 * down + 0.3))
        panels = list(figure.subplots(down, across, squeeze=False).flat)
        for panel, term in zip(panels, terms, strict=False):
            values: list[float] = []
            for split, colour in (("train", TRAIN), ("val", VALIDATION)):
                points = sorted(series.get((term, split), []))
                if not points:
                    continue
                epochs, ys = zip(*points, strict=True)
                marker = "o" if len(points) <= 12 else ""
                panel.plot(epochs, ys, color=colour, linewidth=1.4, marker=marker, markersize=3)
                values += ys
            if min(values) > 0 and max(values) > 10 * min(values):
                panel.set_yscale("log")
                subs = (1.0, 2.0, 5.0) if max(values) < 200 * min(values) else (1.0,)
                panel.yaxis.set_major_locator(LogLocator(subs=subs, numticks=7))
                panel.yaxis.set_major_formatter(FormatStrFormatter("%g"))
                panel.yaxis.set_minor_locator(NullLocator())
            elif (most := float(np.median(np.abs(values)))) > 0 and max(map(abs, values)) > 100 * most:
                panel.set_yscale("symlog", linthresh=most)
                panel.yaxis.set_major_locator(FixedLocator(_powers(values, most)))
                panel.yaxis.set_major_formatter(FormatStrFormatter("%.3g"))
                panel.yaxis.set_minor_locator(NullLocator())
            panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
            if len({epoch for split in ("train", "val") for epoch, _ in series.get((term, split), [])}) == 1:
                panel.set_xlim(epochs[0] - 1, epochs[0] + 1)  # around one epoch, matplotlib shows hundredths of epochs
            panel.set_title(term, loc="left")
            panel.set_xlabel("epoch")
            panel.grid(axis="y", color="#ececec", linewidth=0.8)
            panel.set_axisbelow(True)
        for panel in panels[len(terms) :]:
            panel.set_axis_off()
        named = {"train": ("training", TRAIN), "val": ("validation", VALIDATION)}
        shown = [named[split] for split in named if any(split == other for _, other in series)]
        lines = [Line2D([], [], color=colour, linewidth=1.4) for _, colour in shown]
        figure.legend(lines, [name for name, _ in shown], loc="outside upper right", ncols=2, handlelength=1.5)
        return picture_of(figure)


def code_scatter(first: np.ndarray, last: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Image.Image:
    """Draw the codes of the first and of the last epoch side by side in two components ("Generative Imaging", figure 3.2).

    The principal components are fitted to all codes of the last epoch. The axis labels give their shares of the variance.
    Both axes of a panel have the same scale. Both panels have the same limits, unless one cloud is more than four times as
    wide as the other. Then each cloud fills its own panel, and the title of the smaller one gives its magnification. At
    most 2,000 points are drawn. They are chosen with a fixed seed, without the global random state.

    Args:
        first, last: (N, D) codes of the same N images; D = 1 is drawn along a line.
        labels: (N,) integers; -1 for an image without a label.
        class_names: the names of the classes; empty: one colour for all codes.

    Raises:
        ValueError: shapes that do not fit, no codes, NaN or Inf, or a label without a class name.
    """
    first, last, labels = np.asarray(first, dtype=np.float64), np.asarray(last, dtype=np.float64), np.asarray(labels)
    if first.ndim != 2 or first.shape != last.shape or 0 in first.shape or labels.shape != first.shape[:1]:
        raise ValueError(
            "code_scatter expects codes (N, D) twice and labels (N,), "
            f"got shapes {first.shape}, {last.shape} and {labels.shape}"
        )
    if not (np.isfinite(first).all() and np.isfinite(last).all()):
        raise ValueError("codes must be finite, got NaN or Inf")
    if class_names and (labels.min() < -1 or labels.max() >= len(class_names)):
        raise ValueError(
            f"labels must be -1 … {len(class_names) - 1}, one per class name, got {labels.min()} … {labels.max()}"
        )

    clouds, shares = _components(first, last)  # fitted to all codes, before some are left out
    if len(labels) > MOST_POINTS:
        chosen = np.random.default_rng(0).choice(len(labels), MOST_POINTS, replace=False)
        clouds, labels = [cloud[chosen] for cloud in clouds], labels[chosen]

    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    with style.context(["default", STYLE]):  # ignore the user's matplotlibrc
        palette = palette_of(len(class_names))
        classed = bool(class_names) and bool((labels >= 0).any())
        colours = [palette[label] if label >= 0 else NEUTRAL for label in labels] if classed else TRAIN
        names = [*class_names] + (["no label"] if (labels < 0).any() else []) if classed else []
        columns = -(-len(names) // 17)  # of the legend
        figure = Figure(figsize=(7.2 + 1.2 * columns, 3.7))
        limits = _limits(*clouds)
        titles = _titles(*(half for _, half in limits))
        size = 7 if len(labels) > 500 else 12
        for panel, cloud, limit, title in zip(figure.subplots(1, 2), clouds, limits, titles, strict=True):
            panel.scatter(cloud[:, 0], cloud[:, 1], s=size, c=colours, alpha=0.75, linewidths=0)
            (x, y), half = limit
            panel.set(xlim=(x - half, x + half), ylim=(y - half, y + half), title=title)
            panel.set_box_aspect(1)
            panel.locator_params(nbins=5)
            panel.set_xlabel(f"first component ({shares[0]:.0%})")
            panel.set_ylabel(f"second component ({shares[1]:.0%})")
        if classed:
            handles = [
                Line2D([], [], linestyle="", marker="o", markersize=5, markeredgewidth=0, color=colour)
                for colour in [*palette, NEUTRAL][: len(names)]
            ]
            figure.legend(handles, names, loc="outside right center", ncols=columns, handletextpad=0.1)
        return picture_of(figure)


def _series(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Collect the finite points (epoch, value) of each (term, "train" or "val"), with terms in order of appearance."""
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        for key, value in row.items():
            split, slash, term = key.partition("/")
            if split not in ("train", "val") or not slash or value is None or value == "":
                continue
            if "epoch" not in row:
                raise ValueError(f"a row of metrics must have an epoch, got only {', '.join(row)}")
            if math.isfinite(number := float(value)):
                series.setdefault((term, split), []).append((float(row["epoch"]), number))
    return series


def _powers(values: Sequence[float], most: float) -> list[float]:
    """Return 0 and, on each side that has values beyond `most`, at most three powers of ten from above `most` to the furthest value."""
    places = [0.0]
    for sign in (-1, 1):
        furthest = max(sign * value for value in values)
        powers = range(math.ceil(math.log10(most)) + 1, math.floor(math.log10(furthest)) + 1) if furthest > most else ()
        places += [sign * 10.0**power for power in powers[:: -max(1, -(-len(powers) // 3))]]
    return places


def _components(first: np.ndarray, last: np.ndarray) -> tuple[list[np.ndarray], list[float]]:
    """Return `first` and `last` (N, D) in two principal components of `last`, (N, 2) each, and their shares of its variance."""
    from sklearn.decomposition import PCA

    # an exact solver, because the randomised one uses numpy's global random state
    solver = "covariance_eigh" if len(last) > last.shape[1] else "full"
    with np.errstate(invalid="ignore", divide="ignore"):
        pca = PCA(min(2, *last.shape), svd_solver=solver).fit(last)
    shares = np.nan_to_num(pca.explained_variance_ratio_)
    missing = 2 - len(shares)
    clouds = [np.pad(pca.transform(codes), ((0, 0), (0, missing))) for codes in (first, last)]
    return clouds, [*shares, *[0.0] * missing]


def _limits(first: np.ndarray, last: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Return centre (2,) and half the side of the square panel of each cloud; the panels agree if the widths are similar."""

    def square(points: np.ndarray) -> tuple[np.ndarray, float]:
        low, high = points.min(0), points.max(0)
        return (low + high) / 2, float((high - low).max()) * 0.54

    own = [square(first), square(last)]
    smaller, larger = sorted(half for _, half in own)
    if 0 < 4 * smaller < larger:
        return own
    centre, half = square(np.concatenate([first, last]))
    return [(centre, half or 1.0)] * 2  # if all codes are one point, any square is right


def _titles(first: float, last: float) -> list[str]:
    """Return the titles of two panels with these half sides."""
    times = [f" (magnified {ratio:.3g}×)" if ratio > 1 else "" for ratio in (last / first, first / last)]
    return [f"first epoch{times[0]}", f"last epoch{times[1]}"]


def palette_of(classes: int) -> list[Any]:
    """Return a colour for each class: from ten or twenty qualitative colours, or from the spectrum if there are more."""
    import matplotlib

    if classes <= 20:
        return list(matplotlib.colormaps["tab10" if classes <= 10 else "tab20"].colors[:classes])
    return list(matplotlib.colormaps["turbo"](np.linspace(0.02, 0.98, classes)))


def picture_of(figure: Figure) -> Image.Image:
    """Render a matplotlib figure as an RGB picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
