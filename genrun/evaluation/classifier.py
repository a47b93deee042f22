"""A plain classifier of a data set, trained when it is first needed, that says what a sample shows."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from genrun.callbacks.progress import counted
from genrun.data.loaders import EpochOrder, MemoryLoader
from genrun.data.module import ImageData
from genrun.runs import digest, write_atomic

RECIPE = 2  # raised when the network or its training changes


class Classifier(nn.Sequential):
    """Two convolutions and two linear layers; (n, C, H, W) in [0, 1] → logits (n, num_classes).

    Works from 8×8 pixels upwards: what the second convolution leaves is averaged to 7×7 at most before the linear layers.
    """

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, width: int = 24) -> None:
        channels, *sides = image_shape

        def stage(before: int, after: int) -> list[nn.Module]:
            return [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]

        left = [min(7, side // 4) for side in sides]
        super().__init__(
            *stage(channels, width),
            *stage(width, 2 * width),
            nn.AdaptiveAvgPool2d(left),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(2 * width * left[0] * left[1], 128),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(128, num_classes),
        )


def reference_classifier(
    data: ImageData, settings: dict[str, Any], cache: Path, console: Console
) -> tuple[Classifier, float]:
    """The classifier of this data and its accuracy on the test images, from the cache where it is there whole.

    Args:
        settings: `steps`, `batch_size` and `rate` of its training.

    Returns:
        The frozen classifier, on the CPU, and its test accuracy.
    """
    facts = data.facts()
    chosen = [facts.plain(), data.classes, data.resize, data.limit, settings, RECIPE]
    place = cache / "classifiers" / f"{digest(chosen, 16)}.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = Classifier(facts.image_shape, facts.num_classes)
        try:
            classifier.load_state_dict(load_file(place))
        except (OSError, SafetensorError, RuntimeError):  # not there, or cut short: made anew
            train_classifier(classifier, data, settings, console)
            with contextlib.suppress(OSError):  # a cache that cannot be written is no reason to stop
                place.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(place, save(classifier.state_dict()))
    classifier.eval().requires_grad_(False)
    right = sum(
        (predict(classifier, data.test.images(index)) == data.test.labels[index]).sum().item()
        for index in torch.arange(len(data.test)).split(1000)
    )
    return classifier, right / len(data.test)


def train_classifier(classifier: Classifier, data: ImageData, settings: dict[str, Any], console: Console) -> None:
    """AdamW with a one-cycle rate, cross-entropy, random shifts of up to a fourteenth of the side."""
    train = data.train.decoded()
    steps, shift = settings["steps"], max(1, data.train.shape[1] // 14)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=settings["rate"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings["rate"], total_steps=steps)
    order = EpochOrder(len(train), settings["batch_size"], seed=0)
    loader = MemoryLoader(train, order, torch.device("cpu"))

    def batches():
        for step in range(steps):
            if step % len(loader) == 0:
                order.set_epoch(step // len(loader))
                stream = iter(loader)
            yield next(stream)

    classifier.train()
    for batch in counted(batches(), steps, "training the reference classifier", console):
        x, y = torch.randint(-shift, shift + 1, (2,)).tolist()
        padded = F.pad(batch.image, (shift, shift, shift, shift))
        height, width = batch.image.shape[2:]
        moved = padded[:, :, shift + y : shift + y + height, shift + x : shift + x + width]
        loss = F.cross_entropy(classifier(moved), batch.label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


@torch.no_grad()
def predict(classifier: Classifier, images: Tensor) -> Tensor:
    """Classes of images (n, C, H, W) in [0, 1]: (n,) int64."""
    return torch.cat([classifier(part).argmax(1) for part in images.split(500)])
