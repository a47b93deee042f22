"""Codes of a split's images, whatever keeps or finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genrun.types import KeepsCodes

if TYPE_CHECKING:
    from genrun.data.images import Images
    from genrun.methods.method import Method


@torch.no_grad()
def training_codes(method: Method, train: Images, index: Tensor, chunk: int) -> Tensor:
    """Codes of the training images at these places (n,), kept or found: (n, D)."""
    if isinstance(method, KeepsCodes):
        return method.stored_codes()[index.to(method.device)]
    return encoded(method, train, index, chunk)


@torch.no_grad()
def encoded(method: Method, split: Images, index: Tensor, chunk: int) -> Tensor:
    """Codes of a split's images at these places (n,), found in chunks, a conditional method being given the labels: (n, D)."""
    return torch.cat(
        [
            method.encode(split.images(part).to(method.device), given(split.labels[part], method))
            for part in index.split(chunk)
        ]
    )


def given(labels: Tensor, method: Method) -> Tensor | None:
    """The labels as a conditional method is given them; None for an unconditional one."""
    return labels.to(method.device) if method.num_classes else None
