"""How well a line separates the codes of two classes."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor


def pairwise_separation(codes: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Measure how well a line separates each pair of classes in the first two principal components of all codes.

    The line is Fisher's linear discriminant, halfway between both class means. The result is its balanced accuracy:
    ½(share of the first class on its side + share of the second class on its side). Chance is ½.

    Args:
        codes: (N, D), of all classes.
        labels: (N,) integers.

    Returns:
        (num_classes, num_classes) float64, symmetric, 1 on the diagonal; NaN where a class has fewer than two codes.
    """
    codes = codes.detach().double().cpu()
    centred = codes - codes.mean(0)
    _, _, components = torch.linalg.svd(centred, full_matrices=False)
    plane = centred @ components[:2].T  # (N, 2)
    clouds = [plane[labels.cpu() == label] for label in range(num_classes)]
    result = torch.eye(num_classes, dtype=torch.float64)
    for i, j in combinations(range(num_classes), 2):
        one, other = clouds[i], clouds[j]
        if min(len(one), len(other)) < 2:
            result[i, j] = result[j, i] = torch.nan
            continue
        within = sum((cloud - cloud.mean(0)).T @ (cloud - cloud.mean(0)) / len(cloud) for cloud in (one, other))
        direction = torch.linalg.pinv(within) @ (one.mean(0) - other.mean(0))
        middle = (one.mean(0) + other.mean(0)) / 2
        # a code on its own side counts 1, a code on the line ½
        right = [((cloud - middle) @ direction * side).sign().mean() for cloud, side in ((one, 1), (other, -1))]
        result[i, j] = result[j, i] = (2 + sum(right)) / 4
    return result
