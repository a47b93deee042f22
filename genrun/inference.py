"""Use a trained method in chunks: draw samples, which are the same for equal seeds, and find the codes of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor

from genrun.errors import Failed
from genrun.system.turns import in_turn
from genrun.types import KeepsCodes

if TYPE_CHECKING:
    from genrun.data.images import Images
    from genrun.methods.method import Method


def balanced_labels(n: int, num_classes: int) -> Tensor:
    """Return n labels that take the classes in turn, 0, 1, …, num_classes - 1, 0, …: (n,) int64."""
    return torch.arange(n) % num_classes


def seeded(seed: int, chunk: int = 0, device: torch.device | str = "cpu") -> Generator:
    """Return a random generator for (seed, chunk), so that the images of a chunk do not depend on earlier chunks."""
    return Generator(device).manual_seed(seed * 1_000_003 + chunk)


def sample_chunks(
    method: Method, n: int, seed: int, chunk: int = 500, labels: Tensor | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Draw n images in chunks, and yield them with their labels, on the CPU.

    Args:
        labels: (n,) int64; None: balanced labels for a conditional method.

    Yields:
        images (b, C, H, W) float32 in [0, 1] and labels (b,) int64, which are -1 if the method is unconditional.
    """
    if labels is None and method.num_classes:
        labels = balanced_labels(n, method.num_classes)
    for number, start in enumerate(in_turn(range(0, n, chunk), method.device.type)):
        count = min(chunk, n - start)
        part = None if labels is None else labels[start : start + count]
        images = method.sample(
            count,
            None if part is None else part.to(method.device),
            generator=seeded(seed, number, method.device),
        )
        check_images(method, images, count)
        yield images.cpu(), torch.full((count,), -1) if part is None else part


def grid_labels(method: Method, columns: int) -> Tensor | None:
    """Return labels for a grid with one row per class (at most ten classes, evenly chosen); None if the method is unconditional."""
    if not method.num_classes:
        return None
    rows = torch.linspace(0, method.num_classes - 1, min(10, method.num_classes)).round().long()
    return rows.repeat_interleave(columns)


def grid_names(method: Method, class_names: Sequence[str]) -> list[str] | None:
    """Return the names of the rows of `class_grid`, each the class of its images; None if the method is unconditional."""
    labels = grid_labels(method, 1)
    return None if labels is None else [class_names[label] for label in labels.tolist()]


def class_grid(method: Method, columns: int, seed: int) -> Tensor:
    """Draw images for a grid: (n, C, H, W) on the CPU.

    The grid has one row per class; if the method is unconditional, it has as many rows as columns.
    """
    labels = grid_labels(method, columns)
    n = columns**2 if labels is None else len(labels)
    on_device = None if labels is None else labels.to(method.device)
    images = method.sample(n, on_device, generator=seeded(seed, device=method.device))
    check_images(method, images, n)
    return images.cpu()


def check_images(method: Method, images: Any, n: int) -> None:
    """Check the shape of what a method's `sample` returns.

    Raises:
        Failed: it is not (n, C, H, W).
    """
    expected = (n, *method.image_shape)
    got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
    if got != expected:
        raise Failed(f"{type(method).__name__}.sample({n}): expected images of shape {expected}, got {got}")


@torch.no_grad()
def training_codes(method: Method, train: Images, index: Tensor, chunk: int) -> Tensor:
    """Return the codes of the training images at these indices (n,): (n, D).

    They are the codes that the method keeps, if it keeps them; otherwise the method encodes the images.
    """
    if isinstance(method, KeepsCodes):
        return method.stored_codes()[index.to(method.device)]
    return codes_of_images(method, train, index, chunk)


@torch.no_grad()
def codes_of_images(method: Method, split: Images, index: Tensor, chunk: int) -> Tensor:
    """Encode the images of a split at these indices (n,), in chunks; a conditional method gets their labels too: (n, D)."""
    return torch.cat(
        [
            method.encode(split.images(part).to(method.device), labels_for(split.labels[part], method))
            for part in index.split(chunk)
        ]
    )


def labels_for(labels: Tensor, method: Method) -> Tensor | None:
    """Return the labels on the method's device if it is conditional, otherwise None."""
    return labels.to(method.device) if method.num_classes else None
