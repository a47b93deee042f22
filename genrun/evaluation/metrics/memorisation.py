"""Three metrics of memorisation: whether a generator copies its training images.

All three take distances that are computed once: from samples, test images and training images to their nearest (other)
training image. The feature space must not be trained with labels.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from torch import Tensor

LEAST_IN_CELL = 20  # samples; with fewer, a cell is not used


def distance_ratio(samples_to_train: Tensor, test_to_train: Tensor) -> float | None:
    """Divide the mean distance of samples (n,) to their nearest training image by that of test images (m,).

    0: copies. 1: samples are as far from the training images as unseen real images are. Above 1: samples are further away
    than real images. The result is None if all test images are training images.
    """
    of_test = test_to_train.double().mean()
    return (samples_to_train.double().mean() / of_test).item() if of_test > 0 else None


def authenticity(samples_to_train: Tensor, nearest_train: Tensor, train_to_train: Tensor) -> float:
    """Return the share of samples further from their nearest training image than this image is from its own nearest one.

    0: copies. The best value depends on the data: unseen real images give the floor (0.38 for a Gaussian in a plane).

    Args:
        samples_to_train: (n,) distance of each sample to its nearest training image.
        nearest_train: (n,) index of this training image.
        train_to_train: (N,) distance of each training image to the nearest other one.

    References:
        Alaa et al., How faithful is your synthetic data?, 2022, section 3.2 and equation 11.
    """
    return (samples_to_train > train_to_train[nearest_train]).double().mean().item()


def copying_statistic(
    samples_to_train: Tensor, sample_cells: Tensor, test_to_train: Tensor, test_cells: Tensor
) -> float:
    r"""Return C_T, which tests whether samples are nearer to training images than test images are, cell by cell.

        C_T = Σ_π P(π) Z_U(π) / Σ_π P(π),   Z_U = (U - nm/2) / √(nm(n+m+1)/12)

    U counts the pairs in cell π whose sample is further from the training images than the test image; a tie counts ½. Z_U is
    standard normal if both distances have the same distribution. P(π) is the share of test images in the cell. Cells with
    fewer than 20 samples are left out. Far below 0: copied. Far above 0: underfitted. C_T grows with the root of the number
    of images. The nearest training image may lie in another cell, because the border of a cell is not a border of the data.

    Args:
        samples_to_train, test_to_train: distances to the nearest training image, (n,) and (m,).
        sample_cells, test_cells: cell of each sample and of each test image, (n,) and (m,).

    References:
        Meehan, Chaudhuri and Dasgupta, A non-parametric test to detect data-copying in generative models, 2020, section 4.

    Raises:
        ValueError: no cell has both enough samples and a test image.
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
    """Return the Mann-Whitney U statistic as a z-score; it is positive if the values in `ours` are larger."""
    n, m = len(ours), len(real)
    u = rankdata(np.concatenate([ours, real]))[:n].sum() - n * (n + 1) / 2
    return float((u - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
