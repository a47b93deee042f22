"""Tiny methods to look at, each with other capabilities."""

from __future__ import annotations

import torch

from genrun.explore.explorer import Explorer
from genrun.types import Facts
from helpers.codes import Coder, Keeper, job_of_codes


class Sampler:
    """Draws noise around the class; nothing else."""

    device, image_shape = torch.device("cpu"), (1, 4, 4)

    def __init__(self, num_classes: int = 0) -> None:
        self.num_classes = num_classes

    def sample(self, n, labels=None, *, generator=None):
        assert (labels is not None) == bool(self.num_classes)
        shade = torch.zeros(n) if labels is None else labels / 20
        return (shade[:, None, None, None] + torch.rand(n, 1, 4, 4, generator=generator) / 2).clamp(0, 1)


class CodedSampler(Coder):
    """Has codes, and draws samples."""

    sample = Sampler.sample


class KeepingSampler(Keeper):
    """Keeps the codes of its training images, and draws at any resolution."""

    sample = Sampler.sample

    def sample_at(self, n, resolution, labels=None, *, window=None, generator=None):
        shade = torch.rand(n, 1, 1, 1, generator=generator)
        return shade.expand(n, 1, resolution, resolution) * torch.linspace(0.5, 1, resolution)


class Stepping(Sampler):
    """Goes from black to a sample."""

    def sample_trajectory(self, n, labels=None, *, frames=40, generator=None):
        return torch.linspace(0, 1, 6)[:, None, None, None, None] * self.sample(n, labels, generator=generator)


def explorer(method, *, data: bool = True, classes: int = 10) -> Explorer:
    names = tuple("abcdefghij"[:classes])
    train = job_of_codes(method, classes=classes).data.train
    return Explorer(method, Facts((1, 4, 4), classes, names, len(train), ""), train if data else None, chunk=7)
