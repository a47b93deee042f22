"""Figures of a process between noise and images: its states as a GIF and as a strip, and its noise schedule."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genrun.figures.gif import MOST_BYTES, TooLarge, gif_bytes
from genrun.figures.grid import image_grid
from genrun.figures.plots import STYLE, palette_of, picture_of

FILMS = ((5, 40), (5, 24), (5, 16), (4, 16), (3, 16), (3, 12), (2, 12))  # (columns, frames), the best first
STEPS = (64, 24, 16, 12, 8, 6, 5)  # levels of grey
# a GIF has at most 256 colours, so levels between these save nothing; more images of colour noise never fit
COLOUR_FILMS, COLOUR_STEPS = FILMS[4:], (64, 6, 4)
SIDE, COLOUR_SIDE = 250, 190  # pixels, approximate width of a film; a pixel is enlarged by a whole number


def film(states: Tensor) -> bytes:
    """Draw the states of a process as a GIF of at most 5 × 5 images, 3 × 3 in colour, that pauses at the last state.

    The GIF should not exceed 300 kB, but noise does not compress. So the largest frames are drawn with fewer levels of grey,
    64 … 5. Noise hides this, and frames without noise keep their levels. If this is not enough, there are fewer frames (of
    at most 40), then fewer images. The smallest GIF has 2 × 2 images in 12 frames and may be larger than 300 kB. The first
    and the last state are always shown.

    Args:
        states: (T, n, C, H, W), floats in [0, 1] or uint8, C = 1 or 3; the first of the n images are shown.

    Raises:
        ValueError: other dimensions or channels, no states or images, NaN or Inf.
    """
    _check(states)
    *larger, smallest = COLOUR_FILMS if states.shape[2] > 1 else FILMS
    for columns, frames in larger:
        with contextlib.suppress(TooLarge):
            grids = _grids_within_limit(_evenly_spaced(states, frames)[:, : columns**2], columns)
            return gif_bytes(grids, most_bytes=MOST_BYTES)
    columns, frames = smallest
    return gif_bytes(_grids_within_limit(_evenly_spaced(states, frames)[:, : columns**2], columns))


def strip(states: Tensor, *, rows: int = 5, columns: int = 10) -> Image.Image:
    """Draw several states of some images, from the first to the last: a row for each image, time to the right.

    Args:
        states: (T, n, C, H, W), floats in [0, 1] or uint8, C = 1 or 3.
        rows: number of images, evenly spaced among the n; all images if there are fewer.
        columns: number of states, evenly spaced among the T; all states if there are fewer.

    Raises:
        ValueError: as in `film`, or rows or columns below 1.
    """
    _check(states)
    if rows < 1 or columns < 1:
        raise ValueError(f"a strip needs rows ≥ 1 and columns ≥ 1, got rows {rows} and columns {columns}")
    chosen = _evenly_spaced(_evenly_spaced(states, columns).transpose(0, 1), rows)  # (rows, columns, C, H, W)
    return image_grid(chosen.flatten(0, 1), chosen.shape[1])


def schedule(curves: Mapping[str, Tensor]) -> Image.Image:
    """Draw the curves of a noise schedule over t/T, from the image (0) to the noise (1).

    Curves of similar magnitude, within a factor of three, share a panel. A row has at most three panels. The y axis of a
    panel is logarithmic if its values are positive, exceed 10 and span more than a factor of a thousand (as signal-to-noise
    ratios do).

    Args:
        curves: name → values (T,), evenly spaced in time; T may differ between curves.

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

    with style.context(["default", STYLE]):  # ignore the user's matplotlibrc
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
                panel.yaxis.set_major_formatter(FormatStrFormatter("%g"))  # the default would write powers in TeX
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
    """Raise ValueError if states are not (T, n, C, H, W) with at least one state and one image."""
    if states.ndim != 5 or 0 in states.shape:
        raise ValueError(
            f"states must be (T, n, C, H, W) with T ≥ 1 and n ≥ 1 images each, got shape {tuple(states.shape)}"
        )


def _evenly_spaced(rows: Tensor, most: int) -> Tensor:
    """Return at most `most` evenly spaced rows, including the first and the last."""
    if len(rows) <= most:
        return rows
    return rows[torch.linspace(0, len(rows) - 1, most).round().long()]


def _grids_within_limit(states: Tensor, columns: int) -> list[Image.Image]:
    """Draw a grid of each state, small enough for a GIF of at most 300 kB if possible.

    The grid that takes most bytes gets fewer grey levels, again and again, until the sum fits or this grid has the fewest.
    """
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
    """Group curves by name into panels; a curve joins the first panel whose first curve is within a factor of three."""
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
