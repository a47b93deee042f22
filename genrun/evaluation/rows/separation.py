"""The row on class separation: how well pairs of classes are separated in the codes of images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from genrun.evaluation.metrics.separation import pairwise_separation
from genrun.evaluation.rows.row import Row
from genrun.inference import codes_of_images, training_codes
from genrun.types import Encodes, KeepsCodes

if TYPE_CHECKING:
    from genrun.data.module import ImageData
    from genrun.methods.method import Method


def separation(method: Method, data: ImageData, chunk: int) -> tuple[list[Row], dict[str, Any]]:
    """Return a row for the table, and the accuracies of all pairs of classes for results.json.

    The codes are those of test images, or of training images if the method keeps these. Both results are empty if the method
    has no codes or the data has fewer than two classes.
    """
    facts = data.facts()
    kept = isinstance(method, KeepsCodes)
    split = data.train if kept else data.test
    if facts.num_classes < 2 or not (kept or isinstance(method, Encodes)) or len(split) < 2:
        return [], {}
    codes = (training_codes if kept else codes_of_images)(method, split, torch.arange(len(split)), chunk)
    table = pairwise_separation(codes, split.labels, facts.num_classes)
    above = torch.triu_indices(*table.shape, offset=1)
    values = table[*above]
    if not values.isfinite().any():
        return [], {}
    at = int(values.nan_to_num(2).argmin())
    first, second = (facts.class_names[int(k)] for k in above[:, at])
    of = "training" if kept else "test"
    row = Row(
        "class separation, two components",
        values.nanmean().item(),
        note=f"pairs of classes in {len(split):,} {of} codes; chance 0.5; least: {first} and {second}, {values[at]:.2f}",
    )
    accuracies = [[None if math.isnan(value) else round(value, 4) for value in line] for line in table.tolist()]
    return [row], {"class separation": {"classes": list(facts.class_names), "accuracy": accuracies}}
