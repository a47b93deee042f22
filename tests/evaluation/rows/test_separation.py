"""The row of the least separated pair."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.codes import Identity, Split

from genrun.evaluation.rows.separation import separation


def test_the_least_separated_pair_is_named():
    labels = torch.arange(300) % 3
    codes = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    codes = torch.where((labels == 1)[:, None], codes + 50, codes)
    facts = SimpleNamespace(num_classes=3, class_names=("a", "b", "c"))
    data = SimpleNamespace(facts=lambda: facts, test=Split(codes.view(-1, 1, 1, 5), labels))
    rows, tables = separation(Identity(), data, 100)
    assert "least: a and c" in rows[0].note
    accuracy = np.array(tables["class separation"]["accuracy"])
    assert rows[0].value == pytest.approx(accuracy[np.triu_indices(3, 1)].mean(), abs=1e-4)
    facts.num_classes = 0
    assert separation(Identity(), data, 100) == ([], {})
