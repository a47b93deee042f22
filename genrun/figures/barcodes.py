"""A figure of which units of a code each class uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from genrun.figures.grid import INK, PAPER, font
from genrun.figures.plots import TRAIN

MOST = 10  # classes shown
WIDTH = 900  # pixels, approximate width of a short code's bar code
MOST_COLUMNS = 2304  # units with a column of their own; of longer codes, several neighbours share a column
STRIP, BARS, GAP = 24, 44, 6  # pixels: height of a bar code, of the bars below it, and white below both
DARKEST = 0.99  # quantile of all mean |z| from which on a column is black


def hoyer_sparsity(values: np.ndarray) -> np.ndarray:
    """Return (√D - |z|₁/|z|₂) / (√D - 1) of vectors (…, D): 0 if all |z_j| are equal, 1 if one differs from 0, NaN if it is undefined.

    References:
        Hoyer, Non-negative matrix factorization with sparseness constraints, 2004.
    """
    values = np.abs(np.asarray(values, dtype=np.float64))
    root = np.sqrt(values.shape[-1])
    with np.errstate(invalid="ignore", divide="ignore"):
        return (root - values.sum(-1) / np.sqrt(np.square(values).sum(-1))) / (root - 1)


def barcodes(codes: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Image.Image:
    """Draw a bar code of each class, which is darker where the mean |z| of a unit is larger, and bars of the mean z below it.

    As figures 4, 5, B.19 and B.20 of ReGene. At the left stand the class, the Hoyer sparsity of its mean |z|, and the range of the bars,
    which all classes share. Of more than ten classes, ten evenly spaced ones are shown, as far as they occur.

    Args:
        codes: (N, D), N ≥ 1, finite. If D > 2304, a column shows the largest mean |z| of some neighbours, and the bar the furthest mean
            from 0.
        labels: (N,) integers; -1 for an image without a label.
        class_names: the names of the classes; empty: one bar code for all codes.

    Raises:
        ValueError: shapes that do not fit, no codes, NaN or Inf.
    """
    codes, labels = np.asarray(codes, dtype=np.float64), np.asarray(labels)
    if codes.ndim != 2 or 0 in codes.shape or labels.shape != codes.shape[:1]:
        raise ValueError(f"expected codes (N, D) and labels (N,), N ≥ 1, got {codes.shape} and {labels.shape}")
    if not np.isfinite(codes).all():
        raise ValueError("codes must be finite, got NaN or Inf")
    evenly = np.linspace(0, len(class_names) - 1, min(MOST, len(class_names))).round().astype(int)
    groups = {class_names[k]: labels == k for k in evenly if (labels == k).any()} or {"all": labels == labels}
    sizes = np.stack([np.abs(codes[at]).mean(0) for at in groups.values()])  # (K, D)
    means = np.stack([codes[at].mean(0) for at in groups.values()])
    sparsity = hoyer_sparsity(sizes)

    sizes, means = pooled(sizes), pooled(means)
    scale = max(1, WIDTH // sizes.shape[1])
    black = np.quantile(sizes, DARKEST) or sizes.max() or 1.0
    low, high = min(0.0, means.min()), max(0.0, means.max())
    texts = [
        f"{name}\nsparsity {'–' if np.isnan(one) else f'{one:.2f}'}\nbars {low:.2g} … {high:.2g}"
        for name, one in zip(groups, sparsity, strict=True)
    ]
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
