"""Find the training images that are closest to a picture."""

from __future__ import annotations

import threading
from typing import NamedTuple

import torch
from torch import Tensor

from genrun.data.images import Images
from genrun.evaluation.closest import SquaredError, closest

MATCHES = 3  # closest training images of a picture
MAX_SEARCHED = 2**28  # pixel values that are searched: all of MNIST's and CIFAR-10's, 21,845 training images of 3×64×64
CHUNK = 1000  # training images at a time


class Match(NamedTuple):
    """A training image, and how far it is from a picture."""

    image: Tensor  # (C, H, W) uint8
    index: int  # in the training set
    label: int  # -1 if there is none
    difference: float  # root of the mean squared difference of the pixels, in [0, 1]


class Neighbours:
    """The exact search for closest training images, by squared error of the pixels.

    Args:
        train: the training images. If they have more than MAX_SEARCHED pixel values, only the first ones are searched.

    Attributes:
        count: the number of training images that are searched.
    """

    def __init__(self, train: Images) -> None:
        values = torch.Size(train.shape).numel()
        self.train = train
        self.count = min(len(train), max(1, MAX_SEARCHED // values))
        self._lock = threading.Lock()

    def of(self, pictures: list[Tensor]) -> list[list[Match]]:
        """Return the closest training images of each picture (C, H, W) uint8; none for a picture of another shape."""
        with self._lock:
            if not self.train.in_memory:  # decode once what every search needs
                self.train = self.train.take(torch.arange(self.count)).decoded()
        fitting = [place for place, one in enumerate(pictures) if tuple(one.shape) == self.train.shape]
        found: list[list[Match]] = [[] for _ in pictures]
        if not fitting:
            return found
        queries = torch.stack([pictures[place] for place in fitting]).float().div(255)
        chunks = (self.train.images(part) for part in torch.arange(self.count).split(CHUNK))
        (indices,) = closest([SquaredError(queries)], chunks, MATCHES)  # (n, k)
        for place, query, index in zip(fitting, queries, indices, strict=True):
            images = self.train.pixels(index)
            differences = (images.float().div(255) - query).square().mean((1, 2, 3)).sqrt().tolist()
            labels = self.train.labels[index].tolist()
            found[place] = [Match(*one) for one in zip(images, index.tolist(), labels, differences, strict=True)]
        return found
