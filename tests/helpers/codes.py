"""Codes of classes, and images that are their own codes."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from genrun.data.images import Stored
from genrun.inference import training_codes


def clouds(n=300, classes=3, size=5):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    centres = 2 * torch.randn(classes, size, generator=generator, dtype=torch.float64)
    return centres[labels] + torch.randn(n, size, generator=generator, dtype=torch.float64), labels


class Split:
    """Images that are their own codes."""

    def __init__(self, images, labels):
        self.array, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def images(self, index):
        return self.array[index]


class Identity:
    """Codes are the images' values."""

    num_classes, device = 0, torch.device("cpu")

    def encode(self, images, labels=None):
        return images.flatten(1)

    def reconstruct(self, images, labels=None):
        return images


class Coder:
    """Codes are an image's means of its halves; a conditional one wants labels wherever it can."""

    device, image_shape = torch.device("cpu"), (1, 4, 4)

    def __init__(self, num_classes: int) -> None:
        self.num_classes, self.encoded, self.decoded = num_classes, [], []

    def encode(self, images, labels=None):
        assert (labels is not None) == bool(self.num_classes)
        self.encoded.append(labels)
        return torch.stack([images[..., :2, :].mean((1, 2, 3)), images[..., 2:, :].mean((1, 2, 3))], 1)

    def decode_codes(self, codes, labels=None):
        assert (labels is not None) == bool(self.num_classes) and (labels is None or len(labels) == len(codes))
        self.decoded.append(labels)
        return codes.clamp(0, 1)[:, None, :, None].repeat_interleave(2, 2).expand(-1, 1, 4, 4)


class Keeper(Coder):
    """Keeps the codes of its training images, and must not be asked for others."""

    def __init__(self, num_classes: int, n: int) -> None:
        super().__init__(num_classes)
        self.codes = torch.rand(n, 2, generator=torch.Generator().manual_seed(2))

    def stored_codes(self):
        return self.codes

    def encode(self, images, labels=None):
        raise AssertionError("there are stored codes")


class Job(SimpleNamespace):
    """What figures need of a run's context."""

    class_pairs = ()

    @property
    def training_codes(self):
        return training_codes(self.method, self.data.train, torch.arange(len(self.data.train)), 500)


def job_of_codes(method, n: int = 60, classes: int = 10) -> Job:
    halves = torch.randint(0, 256, (n, 1, 2, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    # equal pixels, so that codes of different images decode to images that one can tell apart; but for one, which no code keeps
    halves[..., 1:] = halves[..., :1]
    array = halves.repeat_interleave(2, 2)
    array[..., 0, 0] ^= 1
    labels = torch.arange(n) // max(1, n // max(1, classes)) % classes if classes else torch.full((n,), -1)
    split = Stored(array=array, labels=labels)
    facts = SimpleNamespace(num_classes=classes, class_names=tuple("abcdefghij"[:classes]))
    return Job(
        method=method,
        data=SimpleNamespace(test=split, train=split, facts=lambda: facts),
        cfg=SimpleNamespace(seed=0, sample=SimpleNamespace(chunk=500)),
    )
