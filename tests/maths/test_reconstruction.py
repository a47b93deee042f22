"""The errors of reconstructions against their formulas."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genrun.maths.reconstruction import CrossEntropy, Distance, MeanSquaredError, SquaredDistance

SHAPE, PIXELS = (1, 2, 3), 6


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 20) -> Tensor:
    return torch.rand(n, *SHAPE, generator=seeded(), dtype=torch.float64)


def test_the_errors_are_the_documents():
    logits = 4 * torch.randn(5, *SHAPE, generator=seeded(1), dtype=torch.float64)
    x = images(5)
    f, t = (1 / (1 + np.exp(-logits.numpy()))).reshape(5, PIXELS), x.numpy().reshape(5, PIXELS)
    np.testing.assert_allclose(MeanSquaredError()(logits, x), ((f - t) ** 2).mean(1))
    np.testing.assert_allclose(CrossEntropy()(logits, x), -(t * np.log(f) + (1 - t) * np.log(1 - f)).sum(1))
    np.testing.assert_allclose(SquaredDistance()(logits, x), PIXELS * MeanSquaredError()(logits, x))
    np.testing.assert_allclose(Distance()(logits, x), np.linalg.norm(f - t, axis=1))


def test_cross_entropy_is_finite_where_an_output_is_certain():
    logits, x = torch.tensor([[[[-2000.0, 2000.0]]]]), torch.tensor([[[[1.0, 1.0]]]])
    assert CrossEntropy()(logits, x).item() == 2000
