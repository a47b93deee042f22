"""A figure of which units of a code each class uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from genrun.figures.grid import INK, PAPER, font
from genrun.figures.plots import TRAIN

WIDTH = 900  # pixels, approximate width of a short code's bar code
MOST_COLUMNS = 2304  # units with a column of their own; of longer codes, several neighbours share a column
STRIP, BARS, GAP = 24, 44, 6  # pixels: height of a bar code, of the bars below it, and white below both
DARKEST = 0.99  # quantile of all mean |z| from which on a column is black


def barcodes(sizes: np.ndarray, means: np.ndarray, captions: Sequence[str]) -> Image.Image:
    """Draw a bar code of each class, darker where a unit's mean |z| is larger, and bars of the units' mean z below it.

    As figures 4, 5, B.19 and B.20 of ReGene. Shades and bars have the same scale in all classes; the range of the bars stands at the left.

    Args:
        sizes, means: (K, D) means of |z| and of z in each class, finite. If D > 2304, a column shows the value furthest from 0 of some
            neighbouring units.
        captions: a text for each class, at most two lines.

    Raises:
        ValueError: shapes that do not fit, no codes, NaN or Inf.
    """
    sizes, means = np.asarray(sizes, dtype=np.float64), np.asarray(means, dtype=np.float64)
    if sizes.ndim != 2 or 0 in sizes.shape or sizes.shape != means.shape or len(captions) != len(sizes):
        raise ValueError(
            f"expected (K, D) twice and K captions, got {sizes.shape}, {means.shape} and {len(captions)} captions"
        )
    if not (np.isfinite(sizes).all() and np.isfinite(means).all()):
        raise ValueError("codes must be finite, got NaN or Inf")
    sizes, means = pooled(sizes), pooled(means)
    scale = max(1, WIDTH // sizes.shape[1])
    black = np.quantile(sizes, DARKEST) or sizes.max() or 1.0
    low, high = min(0.0, means.min()), max(0.0, means.max())
    texts = [f"{caption}\nbars {low:.2g} … {high:.2g}" for caption in captions]
    face = font(12)
    lines = [line for text in texts for line in text.split("\n")]
    margin = 8 + max(int(face.getlength(line)) for line in lines) + 10
    down = STRIP + BARS + GAP
    sheet = Image.new("RGB", (margin + scale * sizes.shape[1] + 8, GAP + len(texts) * down), (PAPER,) * 3)
    draw = ImageDraw.Draw(sheet)
    for row, text in enumerate(texts):
        top = GAP + row * down
        drawn = np.concatenate([strip(sizes[row] / black), bars(means[row], low, high)]).repeat(scale, 1)
        sheet.paste(Image.fromarray(drawn), (margin, top))
        draw.multiline_text((margin - 10, top), text, (INK,) * 3, face, anchor="ra", align="right", spacing=5)
    return sheet


def pooled(values: np.ndarray) -> np.ndarray:
    """Return, of neighbouring values (K, D), the one furthest from 0: (K, at most 2304)."""
    together = -(-values.shape[1] // MOST_COLUMNS)
    if together == 1:
        return values
    values = np.pad(values, ((0, 0), (0, -values.shape[1] % together))).reshape(len(values), -1, together)
    return np.take_along_axis(values, np.abs(values).argmax(2)[..., None], 2)[..., 0]


def strip(darkness: np.ndarray) -> np.ndarray:
    """Draw columns whose darkness goes from 0, white, to 1, black: (D,) → (STRIP, D, 3) uint8."""
    grey = (255 * (1 - darkness.clip(0, 1))).round().astype(np.uint8)
    return np.broadcast_to(grey[None, :, None], (STRIP, len(grey), 3))


def bars(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Draw values (D,) as bars from 0, on the range from `low` ≤ 0 to `high` ≥ 0: (BARS, D, 3) uint8."""
    height = BARS - 2  # one white line above and one below
    place = (high - values) / ((high - low) or 1.0) * (height - 1)  # row of the value, from the top
    zero = round(high / ((high - low) or 1.0) * (height - 1))
    rows = np.arange(height)[:, None]
    value = place.round()
    inside = (rows >= np.minimum(value, zero)) & (rows <= np.maximum(value, zero))
    drawn = np.full((BARS, len(values), 3), PAPER, dtype=np.uint8)
    drawn[1:-1][inside] = ImageColor.getrgb(TRAIN)
    drawn[1 + zero, :] = 160  # the line of 0
    return drawn
