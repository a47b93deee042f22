"""Whether a generator has learned its training images by heart: three looks at distances to the nearest training image.

All three take distances that are computed once: of samples, of test images and of training images to their nearest (other) training
image, in a feature that no label has shaped.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from torch import Tensor

LEAST_IN_CELL = 20  # samples; a cell with fewer says nothing


def distance_ratio(samples_to_train: Tensor, test_to_train: Tensor) -> float | None:
    """Mean distance of samples (n,) to their nearest training image, over that of test images (m,).

    0: copies. 1: samples lie as far from the training images as unseen real ones. Above 1: further off than real images lie.
    None where the test images are training images themselves.
    """
    of_test = test_to_train.double().mean()
    return (samples_to_train.double().mean() / of_test).item() if of_test > 0 else None


def authenticity(samples_to_train: Tensor, nearest_train: Tensor, train_to_train: Tensor) -> float:
    """Share of samples that lie further from their nearest training image than that lies from its own nearest one.

    0: copies. Real unseen images give what stands as the floor; it depends on the data (0.38 for a Gaussian in a plane).

    Args:
        samples_to_train: (n,) distances.
        nearest_train: (n,) which training image it was.
        train_to_train: (N,) distance of each training image to its nearest other.

    References:
        Alaa et al., How faithful is your synthetic data?, 2022, section 3.2 and equation 11.
    """
    return (samples_to_train > train_to_train[nearest_train]).double().mean().item()


def copying_statistic(
    samples_to_train: Tensor, sample_cells: Tensor, test_to_train: Tensor, test_cells: Tensor
) -> float:
    r"""C_T: whether samples lie nearer to training images than test images do, judged inside cells of the data.

        C_T = Σ_π P(π) Z_U(π) / Σ_π P(π),   Z_U = (U - nm/2) / √(nm(n+m+1)/12)

    U counts the pairs in cell π in which the sample is further from the training images than the test image, ties by half;
    Z_U is standard normal when both distances are drawn alike. P(π) is the share of test images in the cell; cells with fewer than
    20 samples are left out. Far below 0: copied. Far above 0: underfitted. It grows with the root of the number of images.
    The nearest training image is looked for everywhere, not in the cell only: a cell's border is no border of the data.

    Args:
        samples_to_train, test_to_train: distances (n,) and (m,).
        sample_cells, test_cells: which cell each lies in, (n,) and (m,).

    References:
        Meehan, Chaudhuri and Dasgupta, A non-parametric test to detect data-copying in generative models, 2020, section 4.

    Raises:
        ValueError: no cell has enough samples and a test image.
    """
    total = weight = 0.0
    for cell in test_cells.unique().tolist():
        ours, real = samples_to_train[sample_cells == cell].numpy(), test_to_train[test_cells == cell].numpy()
        if len(ours) >= LEAST_IN_CELL:
            total += len(real) * rank_sum_z(ours, real)
            weight += len(real)
    if not weight:
        raise ValueError(f"C_T needs a cell of the data with at least {LEAST_IN_CELL} samples, there is none")
    return total / weight


def rank_sum_z(ours: np.ndarray, real: np.ndarray) -> float:
    """Mann and Whitney's U of two samples of numbers as a standard normal; positive: `ours` are larger."""
    n, m = len(ours), len(real)
    u = rankdata(np.concatenate([ours, real]))[:n].sum() - n * (n + 1) / 2
    return float((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
