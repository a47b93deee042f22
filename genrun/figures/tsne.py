"""A figure of codes in two dimensions by t-SNE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from genrun.figures.plots import STYLE, picture_of
from genrun.figures.scatter import limits, scatter

FEWEST = 5  # codes
COMPONENTS = 50  # principal components that t-SNE gets
MANY = 500  # codes; up to so many, 500 steps end as low as 1,000; of 1,000 codes, 750 steps end within 1 % of 1,000


def tsne(clouds: Mapping[str, tuple[np.ndarray, np.ndarray]], class_names: Sequence[str]) -> Image.Image:
    """Draw codes in two dimensions by t-SNE, a panel for each cloud of codes.

    As figures 3a, 4 and B.18 of ReGene: the figure shows whether the classes are separated.

    Args:
        clouds: title → codes (N, D), N ≥ 5, finite, and labels (N,), -1 for an image without a label.
        class_names: the names of the classes; empty: one colour for all codes.

    Raises:
        ValueError: there is no cloud; otherwise as in `embedding`.
    """
    if not clouds:
        raise ValueError("expected at least one cloud of codes")
    planes = [embedding(codes) for codes, _ in clouds.values()]

    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", STYLE]):  # ignore the user's matplotlibrc
        figure = Figure(figsize=(4.6 * len(clouds) + 0.2, 4.6))
        panels = figure.subplots(1, len(clouds), squeeze=False)[0]
        for panel, plane, (title, (_, labels)) in zip(panels, planes, clouds.items(), strict=True):
            scatter(panel, plane, np.asarray(labels), class_names)
            panel.set(xlim=limits(plane[:, 0]), ylim=limits(plane[:, 1]), xticks=[], yticks=[], title=title)
            panel.spines[:].set_visible(True)
        return picture_of(figure)


def embedding(codes: np.ndarray) -> np.ndarray:
    """Embed codes (N, D) in the plane by t-SNE, (N, 2): equal codes give equal points.

    Perplexity 30, or (N - 1)/3 if that is less. As is usual, at most 50 principal components are embedded. One thread works,
    because the sum over several threads depends on their order. If all codes are equal, all points are 0.

    Raises:
        ValueError: another shape, fewer than 5 codes, NaN or Inf.

    References:
        van der Maaten and Hinton, Visualizing data using t-SNE, 2008.
    """
    codes = np.asarray(codes, dtype=np.float64)
    if codes.ndim != 2 or len(codes) < FEWEST or not codes.shape[1]:
        raise ValueError(f"expected codes (N, D), N ≥ {FEWEST}, got {codes.shape}")
    if not np.isfinite(codes).all():
        raise ValueError("codes must be finite, got NaN or Inf")
    codes = codes - codes.mean(0)
    spread = np.abs(codes).max()
    if spread < 1e-12:
        return np.zeros((len(codes), 2), dtype=np.float32)

    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    # an exact solver, because the randomised one uses numpy's global random state
    solver = "covariance_eigh" if len(codes) > codes.shape[1] else "full"
    with threadpool_limits(1):
        points = PCA(min(COMPONENTS, *codes.shape), svd_solver=solver).fit_transform(codes / spread)
        points = np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))  # t-SNE starts from two components
        steps, perplexity = 750 if len(codes) > MANY else 500, min(30, (len(codes) - 1) / 3)
        return TSNE(random_state=0, perplexity=perplexity, init="pca", max_iter=steps).fit_transform(points)
