"""How images come about or turn to noise: the states of a process as a GIF and as a strip, and the curves of its schedule."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genrun.figures.gif import MOST_BYTES, gif_bytes
from genrun.figures.grid import image_grid
from genrun.figures.plots import STYLE, palette_of, picture_of

FILMS = ((5, 40), (5, 24), (5, 16), (4, 16), (3, 16), (3, 12), (2, 12))  # columns and frames, the best first
STEPS = (64, 24, 16, 12, 8, 6, 5)  # of grey
# of colours the palette has 256 at most, so that steps between these save nothing; more images of noise never fit
COLOUR_FILMS, COLOUR_STEPS = FILMS[4:], (64, 6, 4)
SIDE, COLOUR_SIDE = 250, 190  # pixels: a film's width is aimed at, by whole numbers of pixels for one


def film(states: Tensor) -> bytes:
    """States of a process, in its order → a GIF of at most 5 × 5 of its images, 3 × 3 in colour, that holds the last state.

    Noise does not compress, so that all may stay within 300 kB the largest frames are drawn in fewer steps of grey, 64 … 5: noise
    hides that, and frames without noise keep theirs. Where it is not enough there are fewer of the at most 40 frames, then fewer images.
    2 × 2 images in 12 frames are the least: then the GIF may be larger. The first and the last state always stay.

    Args:
        states: (T, n, C, H, W), floats in [0, 1] or uint8, C = 1 or 3; the first images of the n are shown.

    Raises:
        ValueError: other dimensions or channels, no states or images, NaN or Inf.
    """
    _check(states)
    for columns, frames in COLOUR_FILMS if states.shape[2] > 1 else FILMS:
        moving = gif_bytes(_within(_evenly(states, frames)[:, : columns**2], columns))
        if len(moving) <= MOST_BYTES:
            break
    return moving


def strip(states: Tensor, *, rows: int = 5, columns: int = 10) -> Image.Image:
    """The same images at several states from the first to the last: a row for each image, time to the right.

    Args:
        states: (T, n, C, H, W), floats in [0, 1] or uint8, C = 1 or 3.
        rows: images, evenly chosen among the n; all where they are fewer.
        columns: states, evenly chosen among the T; all where they are fewer.

    Raises:
        ValueError: as `film`; rows or columns below 1.
    """
    _check(states)
    if rows < 1 or columns < 1:
        raise ValueError(f"a strip needs rows ≥ 1 and columns ≥ 1, got rows {rows} and columns {columns}")
    chosen = _evenly(_evenly(states, columns).transpose(0, 1), rows)  # (rows, columns, C, H, W)
    return image_grid(chosen.flatten(0, 1), chosen.shape[1])


def schedule(curves: Mapping[str, Tensor]) -> Image.Image:
    """Curves of a noise schedule over t/T, from the image (0) to the noise (1).

    Curves of one magnitude, within a factor of three, share a panel; at most three panels a row. The y axis is logarithmic where a
    panel's values are positive, go beyond 10 and span more than a factor of a thousand (as signal-to-noise ratios do).

    Args:
        curves: name → (T,), evenly in time; T may differ.

    Raises:
        ValueError: no curve, other dimensions, no values, NaN or Inf.
    """
    values = {name: curve.detach().cpu().double().numpy() for name, curve in curves.items()}
    if not values:
        raise ValueError("a schedule needs at least one curve, got none")
    for name, curve in values.items():
        if curve.ndim != 1 or not len(curve) or not np.isfinite(curve).all():
            raise ValueError(f"the curve {name!r} must be (T,) finite numbers, T ≥ 1, got shape {curve.shape}")
    panels = _by_magnitude(values)
    across = min(3, len(panels))
    down = -(-len(panels) // across)

    from matplotlib import style
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, NullLocator

    with style.context(["default", STYLE]):  # whatever the user's matplotlibrc says
        figure = Figure(figsize=(3.4 * across + 0.3, 2.5 * down + 0.3))
        drawn = list(figure.subplots(down, across, squeeze=False).flat)
        colours = dict(zip(values, palette_of(len(values)), strict=True))
        for panel, names in zip(drawn, panels, strict=False):
            for name in names:
                times = np.linspace(0, 1, len(values[name]))
                marker = "o" if len(times) == 1 else ""
                panel.plot(times, values[name], color=colours[name], linewidth=1.4, marker=marker, label=name)
            together = np.concatenate([values[name] for name in names])
            if together.min() > 0 and together.max() > max(10, 1000 * together.min()):
                panel.set_yscale("log")
                panel.yaxis.set_major_formatter(FormatStrFormatter("%g"))  # powers would be written in TeX
                panel.yaxis.set_minor_locator(NullLocator())
            panel.set_xlabel("t/T")
            panel.set_xlim(0, 1)
            panel.locator_params(axis="x", nbins=5)
            panel.grid(axis="y", color="#ececec", linewidth=0.8)
            panel.set_axisbelow(True)
            panel.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, handlelength=1.5, borderaxespad=0.2)
        for panel in drawn[len(panels) :]:
            panel.set_axis_off()
        return picture_of(figure)


def _check(states: Tensor) -> None:
    if states.ndim != 5 or 0 in states.shape:
        raise ValueError(
            f"states must be (T, n, C, H, W) with T ≥ 1 and n ≥ 1 images each, got shape {tuple(states.shape)}"
        )


def _evenly(rows: Tensor, most: int) -> Tensor:
    """At most so many of the rows, the first and the last among them."""
    if len(rows) <= most:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, most).round().long()]


def _within(states: Tensor, columns: int) -> list[Image.Image]:
    """A grid for each state, the largest in fewer steps until their GIF has at most 300 kB, or the largest cannot be drawn in fewer."""
    side, steps = (COLOUR_SIDE, COLOUR_STEPS) if states.shape[2] > 1 else (SIDE, STEPS)
    scale = max(1, round(side / (columns * states.shape[-1])))
    states = states / 255 if states.dtype == torch.uint8 else states.float().clamp(0, 1)

    def drawn(state: Tensor, at: int) -> tuple[int, int, Image.Image]:
        last = steps[at] - 1
        grid = image_grid((state * last).round() / last, columns, scale=scale)
        return len(gif_bytes([grid])), at, grid

    frames = [drawn(state, 0) for state in states]
    while sum(size for size, _, _ in frames) > MOST_BYTES:
        largest = max(range(len(frames)), key=lambda k: frames[k][0])
        at = frames[largest][1] + 1
        if at == len(steps):
            break
        frames[largest] = drawn(states[largest], at)
    return [grid for _, _, grid in frames]


def _by_magnitude(values: Mapping[str, np.ndarray]) -> list[list[str]]:
    """The curves' names in panels: each joins the first whose first curve is at most three times as large or small."""
    panels: list[list[str]] = []
    size = {name: float(np.abs(curve).max()) for name, curve in values.items()}
    for name in values:
        for names in panels:
            smaller, larger = sorted((size[name], size[names[0]]))
            if larger <= 3 * smaller:
                names.append(name)
                break
        else:
            panels.append([name])
    return panels
