"""Codes fitted to images are those of least squares where the decoder is linear, and the class that was drawn is found."""

from __future__ import annotations

import torch
from helpers.metrics import seeded

from genrun.maths.fitted_codes import fitted_codes, fitted_codes_and_labels

A = torch.randn(
    3, 12, 4, generator=seeded(0), dtype=torch.float64
)  # a linear decoder of three classes: 4 → 6 pixels of 2 channels
MEANS = torch.randn(3, 4, generator=seeded(1), dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 1, 0])


def decode(codes, labels):
    return torch.einsum("nvd,nd->nv", A[labels], codes).unflatten(1, (6, 2))


def test_codes_are_those_of_least_squares():
    target = torch.randn(5, 6, 2, generator=seeded(2), dtype=torch.float64)
    codes, errors = fitted_codes(decode, MEANS, LABELS, target, steps=400)
    best = torch.linalg.lstsq(A[LABELS], target.flatten(1).unsqueeze(2)).solution[:, :, 0]
    torch.testing.assert_close(codes, best, rtol=0, atol=1e-4)
    torch.testing.assert_close(errors, (decode(best, LABELS) - target).flatten(1).square().mean(1))
    start, _ = fitted_codes(decode, MEANS, LABELS, target, steps=0)
    assert torch.equal(start, MEANS[LABELS]) and not codes.requires_grad


def test_without_labels_the_best_class_is_found():
    drawn = torch.randn(5, 4, generator=seeded(3), dtype=torch.float64)
    codes, found = fitted_codes_and_labels(decode, MEANS, decode(drawn, LABELS), steps=400)
    assert torch.equal(found, LABELS)
    torch.testing.assert_close(codes, drawn, rtol=0, atol=1e-3)
