"""A figure of codes in their principal components."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from genrun.figures.plots import MOST_POINTS, STYLE, TRAIN, picture_of
from genrun.figures.scatter import limits, scatter

PART = 10_000  # codes that are computed with at a time
LONG_TITLE = 34  # characters; a longer title of a panel has two lines


def components(
    codes: np.ndarray, labels: np.ndarray, class_names: Sequence[str], pairs: Sequence[tuple[int, int]]
) -> Image.Image:
    """Draw the eigenvalues of the codes' covariance, and the codes in two components: all classes, then pairs of classes.

    As figure 7 of "Image Generation Using an Autoencoder". The figure shows whether few components are enough, and which
    classes are separated in two components.

    Args:
        codes: (N, D), N ≥ 2, finite; each panel shows at most 2,000 of them, drawn at random, and its title says so.
        labels: (N,) integers; -1 for an image without a label.
        class_names: the names of the classes; empty: one colour for all codes.
        pairs: pairs of classes, each shown in its own panel.

    Raises:
        ValueError: shapes that do not fit, too few codes, NaN or Inf.
    """
    codes, labels = np.asarray(codes), np.asarray(labels)
    if codes.ndim != 2 or len(codes) < 2 or not codes.shape[1] or labels.shape != codes.shape[:1]:
        raise ValueError(f"expected codes (N, D) and labels (N,), N ≥ 2, got {codes.shape} and {labels.shape}")
    if not np.isfinite(codes).all():
        raise ValueError("codes must be finite, got NaN or Inf")
    values, cloud = principal(codes)

    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", STYLE]):  # ignore the user's matplotlibrc
        figure = Figure(figsize=(3.4 * (2 + len(pairs)), 3.5))
        first, *panels = figure.subplots(1, 2 + len(pairs))
        first.plot(np.arange(1, len(values) + 1), values, color=TRAIN, marker="o", markersize=3, linewidth=1)
        first.set(title="eigenvalues", xlabel="component", ylim=(0, None))
        share = values / max(values.sum(), np.finfo(float).tiny)
        groups = [range(-1, len(class_names)), *pairs]
        for panel, group in zip(panels, groups, strict=True):
            of_group = np.flatnonzero(np.isin(labels, list(group)))
            at = np.random.default_rng(0).permutation(of_group)[:MOST_POINTS]
            scatter(panel, cloud[at], labels[at], class_names)
            title = (
                f"{len(of_group):,} codes" if len(at) == len(of_group) else f"{len(at):,} of {len(of_group):,} codes"
            )
            if isinstance(group, tuple):
                names = " and ".join(class_names[k] for k in group)
                names = names if len(names) <= LONG_TITLE else "\nand ".join(class_names[k] for k in group)
                title = f"{names}\n{title}"
            panel.set(title=title, xlabel=f"first component ({share[0]:.0%})")
            panel.set_ylabel(f"second component ({share[1]:.0%})" if len(share) > 1 else "")
            panel.set(xlim=limits(cloud[:, 0]), ylim=limits(cloud[:, 1]))
        return picture_of(figure)


def principal(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the descending eigenvalues (D,) of the sample covariance, and the codes (N, 2) in its first two components.

    If D = 1, the second component is 0. If N < D, the eigenvalues are found by those of an N × N matrix: with X (N, D) the centred codes,

        X Xᵀ u = λ u   ⇒   XᵀX v = λ v,   v = Xᵀu,   and the other D - N eigenvalues of XᵀX are 0.
    """
    mean = codes.mean(0, dtype=np.float64)
    parts = np.array_split(codes, -(-len(codes) // PART))
    if len(codes) < codes.shape[1]:
        x = codes - mean
        values, u = np.linalg.eigh(x @ x.T / (len(codes) - 1))
        values = np.pad(values, (codes.shape[1] - len(codes), 0))
        vectors = x.T @ u[:, ::-1][:, :2]
        vectors /= np.linalg.norm(vectors, axis=0).clip(np.finfo(float).tiny)
    else:  # a part at a time: all codes in 64 bits may not fit in memory
        values, vectors = np.linalg.eigh(sum((part - mean).T @ (part - mean) for part in parts) / (len(codes) - 1))
        vectors = vectors[:, ::-1][:, :2]
    # the sign of a component is arbitrary: make its largest entry positive, so that every machine draws the same picture
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    cloud = np.concatenate([(part - mean) @ vectors for part in parts])
    return values[::-1].clip(0), np.pad(cloud, ((0, 0), (0, 2 - cloud.shape[1])))
