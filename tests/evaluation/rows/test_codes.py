"""The rows on codes: which codes are fitted and tested, and who has these rows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers.codes import Identity, Split

from genrun.evaluation.rows.codes import code_rows


def made(n: int, classes: int = 3) -> Split:
    """Images that are their own codes: only the unit of the class is not zero. They are sorted by class."""
    labels = torch.arange(n) * classes // n
    return Split(torch.eye(classes)[labels].view(n, 1, 1, classes), labels)


def data_of(classes: int = 3, **splits: Split) -> SimpleNamespace:
    return SimpleNamespace(facts=lambda: SimpleNamespace(num_classes=classes), **splits)


def test_a_probe_is_fitted_to_training_codes_and_tested_with_test_codes():
    probe, sparsity = code_rows(Identity(), data_of(train=made(300), test=made(90)), 60, 50)
    assert probe.value == 1 and probe.count == 60
    assert probe.protocol == "fitted to 60 training codes, tested with 60 test codes"
    assert sparsity.value == pytest.approx(1) and sparsity.count == 60


def test_stored_codes_are_held_out_and_no_other_codes_are_searched():
    train = made(300)

    class Keeps:
        device, num_classes = torch.device("cpu"), 3

        def stored_codes(self):
            return train.array.flatten(1)

        def encode(self, images, labels=None):
            raise AssertionError("the search may take minutes")

    probe, sparsity = code_rows(Keeps(), data_of(train=train, test=made(90)), 1000, 50)
    assert probe.value == 1 and probe.count == sparsity.count == 60
    assert probe.protocol == "fitted to 240 training codes, tested with 60 other stored training codes"


def test_no_rows_without_codes_classes_or_the_option():
    data = data_of(train=made(30), test=made(30))
    assert code_rows(Identity(), data, 0, 50) == [] and code_rows(object(), data, 10, 50) == []
    assert code_rows(Identity(), data_of(1, train=made(30), test=made(30)), 10, 50) == []


def test_codes_that_are_not_numbers_have_a_note():
    train = made(30)
    train.array[3] = torch.nan
    probe, sparsity = code_rows(Identity(), data_of(train=train, test=made(30)), 30, 50)
    assert probe.value is None and "NaN" in probe.note and sparsity.value == pytest.approx(1)
