"""Controls: real images, changed on purpose, for which the right verdict of the judge is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from genrun.errors import Refused
from genrun.evaluation.judge import Judge
from genrun.evaluation.ladders import Batch, missing_classes, plainest_half
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row
from genrun.inference import seeded

NOISE = 0.05  # standard deviation of the added noise, on [0, 1]
STATES = 10  # of each chain
SHOWN = {  # column heading → row name
    "accuracy": "label accuracy",
    "entropy": "class entropy",
    "Fréchet o": "Fréchet distance (observer)",
    "Fréchet r": "Fréchet distance (random)",
    "precision": "precision (observer)",
    "recall": "recall (observer)",
    "clipped density": "clipped density (observer)",
    "clipped coverage": "clipped coverage (observer)",
    "PQMass": "PQMass chi-square (observer)",
    "FLD": "feature likelihood divergence (observer)",
    "nearest": "nearest-neighbour ratio",
    "authentic": "authenticity",
    "C_T": "copying statistic C_T",
    "gap": "generalisation gap (observer)",
    "independent": "independent samples",
    "twins": "samples with a twin",
}


class Control(NamedTuple):
    """Images (n, C, H, W) uint8, their labels (n,), and the expected verdict of the judge."""

    name: str
    expected: str
    images: Tensor
    labels: Tensor | None


def controls(real: RealImages, seed: int) -> Iterator[Control]:
    """Yield the controls.

    A control has as many images as were held out of the training set, except "one class only", "one class less", "the plainer half" and
    "20 images".
    """
    kept_back = real.images("validation").decoded()
    trained_on = real.images("train", len(kept_back)).decoded()
    held_out, labels, copies, their_labels = kept_back.array, kept_back.labels, trained_on.array, trained_on.labels
    generator = seeded(seed)
    if not real.facts.num_classes:
        labels = their_labels = None
    yield Control("held-out real images", "near the floor", held_out, labels)
    yield Control("copies of training images", "memorised", copies, their_labels)
    yield Control(f"copies with noise of {NOISE}", "memorised", noisy(copies, generator), their_labels)
    every = Batch(held_out, kept_back.labels)
    if labels is not None:
        less = missing_classes(every, generator, count=1)
        yield Control("one class less", "coverage falls", less.images, less.labels)
        largest = int(torch.bincount(labels).argmax())
        name = f"one class only ({real.facts.class_names[largest]})"
        yield Control(name, "recall, entropy fall", held_out[labels == largest], labels[labels == largest])
    half = plainest_half(every, generator)
    yield Control("the plainer half", "recall, coverage fall", half.images, None if labels is None else half.labels)
    states = [noisy(held_out[: len(held_out) // STATES], generator) for _ in range(STATES)]
    yield Control(f"chains of {STATES} states", "dependent", torch.cat(states), None)
    yield Control("Gaussian blur of one pixel", "Fréchet rises", gaussian_blur(held_out, [7, 7], [1.0, 1.0]), labels)
    grey = held_out.float().mean((1, 2, 3), keepdim=True).round().to(torch.uint8)
    yield Control("constant images", "everything fails", grey.expand_as(held_out).contiguous(), labels)
    few = slice(0, 20)
    yield Control("20 images", "too few", held_out[few], None if labels is None else labels[few])


def noisy(images: Tensor, generator: Generator) -> Tensor:
    """Return images (n, C, H, W) uint8 with noise."""
    noise = NOISE * torch.randn(images.shape, generator=generator)
    return (images / 255 + noise).clamp(0, 1).mul(255).round().to(torch.uint8)


def judged(judge: Judge) -> Iterator[tuple[Control, list[Row] | str]]:
    """Yield each control with its rows, or with the error message if the judge refused it.

    Raises:
        Refused: there are too few held-out images.
    """
    held_out = len(judge.real.data.validation)
    if held_out <= (least := judge.max_features()):
        raise Refused(
            f"--controls need more than {least} held-out images, there are {held_out}; set data.validation={least + 1}"
        )
    for control in controls(judge.real, judge.seed):
        try:
            judge.check(len(control.images), control.name)
            yield control, judge.judge(control.images, control.labels)
        except Refused as error:
            yield control._replace(expected=f"too few ({len(control.images)})"), str(error)
