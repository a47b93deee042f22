"""A method's own classifier."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers.codes import Split

from genrun.evaluation.rows.recognition import own_classifier_row


class Reads:
    """Reads the class from the first pixel."""

    device = torch.device("cpu")

    def classify(self, images):
        return torch.eye(3)[images[:, 0, 0, 0].long()]


def test_the_own_classifier_is_tested_with_all_test_images():
    labels = torch.arange(90) % 3
    images = labels.clone().float()
    images[labels == 1] = torch.arange(30.0) % 2  # half of the second class is taken for the first
    facts = SimpleNamespace(num_classes=3, class_names=("a", "b", "c"))
    data = SimpleNamespace(facts=lambda: facts, test=Split(images.view(-1, 1, 1, 1), labels))
    row = own_classifier_row(Reads(), data, 40)
    assert row.value == pytest.approx(75 / 90) and row.count == 90 and row.best == "high"
    assert row.note == "weakest: b, 0.500" and row.detail == [1, 0.5, 1]
