"""Hoyer's sparsity against values by hand."""

from __future__ import annotations

import math

import pytest
import torch

from genrun.evaluation.metrics.sparsity import hoyer_sparsity


def test_sparsity_of_codes_that_are_known():
    codes = torch.tensor([[1.0, 1, 1, 1], [0, -5, 0, 0], [3, 4, 0, 0], [-30, 0, 40, 0], [0, 0, 0, 0]])
    by_hand = (2 - 7 / 5) / (2 - 1)  # √4 = 2, |z|₁ = 7, |z|₂ = 5
    values = hoyer_sparsity(codes)
    assert values[:4].tolist() == pytest.approx([0, 1, by_hand, by_hand]) and math.isnan(values[4])


def test_a_single_unit_has_no_sparsity():
    assert hoyer_sparsity(torch.ones(3, 1)).isnan().all()
