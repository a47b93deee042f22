"""The pictures of a trained method that can be asked for, by its capabilities. This module knows nothing of the browser."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genrun.data.images import Images
from genrun.errors import Failed, Refused
from genrun.explore.asked import Asked
from genrun.explore.codes import REACH, SLIDERS, WAYS, Codes, path
from genrun.explore.neighbours import Neighbours
from genrun.figures.grid import picture, png_bytes
from genrun.inference import check_images, grid_labels, labels_for, seeded
from genrun.methods.method import Method
from genrun.types import Continuous, Decodes, Encodes, Facts, Trajectory

COLUMNS = 10  # samples in a row
STEPS = 8  # pictures on the way between two images
FRAMES = 40  # states of a trajectory
LARGEST = 512  # pixels along the side of a picture at another resolution
REMEMBERED = 32  # views whose pictures are kept


class Picture(NamedTuple):
    """A picture and what is written below it."""

    pixels: Tensor  # (C, H, W) uint8
    caption: str
    alt: str


class View(NamedTuple):
    """What a request shows: pictures, and for the sliders the shares of the variance along their directions."""

    pictures: list[Picture]
    shares: list[float] | None = None


class Explorer:
    """A trained method whose pictures can be asked for, from several threads.

    Each view is a function of its parameters: equal ones, the seed included, give equal pictures.

    Args:
        method: in evaluation mode.
        facts: of the run's data.
        train: the training images; None: they are not there, so there are no neighbours, and codes only if the method keeps them.
        chunk: images that are encoded at a time.

    Attributes:
        views: name → the function that makes its pictures; what the method cannot do is not among them.
    """

    def __init__(self, method: Method, facts: Facts, train: Images | None, chunk: int = 500) -> None:
        self.method, self.facts, self.train = method, facts, train
        self.codes = Codes(method, train, chunk)
        self.neighbours = None if train is None else Neighbours(train)
        self.views: dict[str, Callable[[Asked], View]] = {"samples": self.samples}
        if Codes.known(method, train):
            self.views["codes"] = self.along_directions
        if self.sources():
            self.views["interpolation"] = self.interpolation
        if isinstance(method, Continuous):
            self.views["zoom"] = self.zoom
        if isinstance(method, Trajectory):
            self.views["trajectory"] = self.trajectory
        self._lock = threading.Lock()
        self._made = lru_cache(maxsize=REMEMBERED)(self._make)

    def sources(self) -> list[str]:
        """Return between what one can interpolate: training images, samples."""
        known = Codes.known(self.method, self.train)
        images = ["images"] if known and self.train is not None else []
        return images + (["samples"] if isinstance(self.method, Decodes) and isinstance(self.method, Encodes) else [])

    # ------------------------------------------------------------------------------------------------------- requests

    def view(self, name: str, words: Mapping[str, str]) -> dict[str, Any]:
        """Return the pictures of a view, as JSON can hold them.

        Raises:
            Refused: there is no such view, or a parameter is wrong.
            Failed: the method makes no pictures.
        """
        view = self.made(name, words)
        answer: dict[str, Any] = {"pictures": [as_json(one) for one in view.pictures]}
        if view.shares is not None:
            answer["shares"] = view.shares
        return answer

    def closest(self, name: str, words: Mapping[str, str]) -> dict[str, Any]:
        """Return the closest training images of each picture of a view; none for a picture of another size.

        Raises:
            Refused: there is no such view, a parameter is wrong, or the training images are not there.
        """
        if self.neighbours is None:
            raise Refused("the training images are not there")
        found = self.neighbours.of([one.pixels for one in self.made(name, words).pictures])
        return {"closest": [[as_json(self.as_picture(match)) for match in matches] for matches in found]}

    def as_picture(self, match: Any) -> Picture:
        """Return a training image with its number, its class and its difference."""
        name = self.name_of(match.label)
        of_class = f", class {name}" if name else ""
        return Picture(
            match.image,
            f"{name}\n{match.difference:.2f}".strip(),
            f"training image {match.index}{of_class}, root mean square difference {match.difference:.3f}",
        )

    def made(self, name: str, words: Mapping[str, str]) -> View:
        """Return a view; the last ones are kept, because their neighbours are asked for next."""
        if name not in self.views:
            raise Refused(f"there is no view {name[:40]!r} of this method; expected {', '.join(self.views)}")
        with self._lock:
            return self._made(name, tuple(sorted(words.items())))

    @torch.no_grad()  # each thread has its own setting
    def _make(self, name: str, words: tuple[tuple[str, str], ...]) -> View:
        return self.views[name](Asked(dict(words)))

    # ---------------------------------------------------------------------------------------------------------- views

    def samples(self, asked: Asked) -> View:
        """Draw a row of samples: of one class, or one of each class.

        Parameters: class, seed.
        """
        label = self.label(asked, "class", self.method.num_classes)
        labels = grid_labels(self.method, 1) if label is None else torch.full((COLUMNS,), label)
        images = self.draw(COLUMNS if labels is None else len(labels), labels, asked.seed())
        return self.shown(images, "sample", labels)

    def along_directions(self, asked: Asked) -> View:
        """Decode a code that was moved along the principal directions of the codes of a class.

        Parameters: class, start (mean, random), seed, and d1 … d8 in standard deviations.
        """
        label = self.label(
            asked, "class", self.facts.num_classes if self.train is not None else self.method.num_classes
        )
        if label is None and self.method.num_classes:
            label = 0
        steps = [asked.real(f"d{k + 1}", 0, REACH) for k in range(SLIDERS)]
        seed = asked.seed() if asked.choice("start", ("mean", "random")) == "random" else None
        code = self.codes.at(label, steps, seed)
        of_class = None if label is None else torch.tensor([label])
        images = self.decode(code, of_class)
        shares = self.codes.directions(label).shares[:SLIDERS].tolist()
        return View(self.shown(images, "decoded", of_class if self.method.num_classes else None).pictures, shares)

    def interpolation(self, asked: Asked) -> View:
        """Decode codes on the way from one image to another; both images stand at the ends.

        A conditional method is given the class of the nearer image.

        Parameters: source (images, samples), way (straight, spherical); for images class_a, number_a, class_b, number_b; for samples
        class_a, class_b, seed.
        """
        source, way = asked.choice("source", self.sources()), asked.choice("way", WAYS)
        ends = [self.label(asked, f"class_{end}", self.facts.num_classes) for end in "ab"]
        if source == "images":
            index = torch.tensor(
                [self.place(asked, f"number_{end}", label) for end, label in zip("ab", ends, strict=True)]
            )
            images, labels = self.train.images(index), self.train.labels[index]
            codes = self.codes.of_images(index)
        else:
            labels = torch.tensor([label or 0 for label in ends])
            images = self.draw(2, labels if self.method.num_classes else None, asked.seed())
            codes = self.method.encode(images.to(self.method.device), labels_for(labels, self.method))
        nearer = labels[(torch.arange(STEPS) >= STEPS / 2).long()]  # (STEPS,)
        decoded = self.decode(path(codes[0], codes[1], STEPS, way), nearer)
        of_end = labels if source == "images" or self.method.num_classes else None
        first, last = self.shown(images, source.removesuffix("s"), of_end).pictures
        between = [
            Picture(pixels, f"{k / (STEPS - 1):.0%}", f"decoded at {k / (STEPS - 1):.0%} of the way")
            for k, pixels in enumerate(as_pixels(decoded))
        ]
        return View([first, *between, last])

    def zoom(self, asked: Asked) -> View:
        """Draw a sample at the resolution of the data and at another one.

        Parameters: class, seed, resolution.
        """
        native = max(self.method.image_shape[1:])
        resolution = asked.whole("resolution", min(LARGEST, 8 * native), native, max(LARGEST, native))
        label = self.label(asked, "class", self.method.num_classes)
        labels = torch.tensor([label or 0]) if self.method.num_classes else None
        pictures = []
        for side, what in ((native, "as trained"), (resolution, "computed at this resolution")):
            noise = seeded(asked.seed(), device=self.method.device)
            images = self.method.sample_at(1, side, self.on_device(labels), generator=noise).cpu()
            caption = f"{side} × {side}, {what}"
            pictures.append(Picture(as_pixels(images)[0], caption, f"sample{self.of_class(labels, 0)}, {caption}"))
        return View(pictures)

    def trajectory(self, asked: Asked) -> View:
        """Draw a sample, and return the states on the way to it.

        Parameters: class, seed.
        """
        label = self.label(asked, "class", self.method.num_classes)
        labels = torch.tensor([label or 0]) if self.method.num_classes else None
        noise = seeded(asked.seed(), device=self.method.device)
        states = self.method.sample_trajectory(1, self.on_device(labels), frames=FRAMES, generator=noise)[:, 0].cpu()
        last = len(states) - 1
        return View(
            [
                Picture(
                    pixels, f"{k} of {last}", f"state {k} of {last} on the way to a sample{self.of_class(labels, 0)}"
                )
                for k, pixels in enumerate(as_pixels(states))
            ]
        )

    # ---------------------------------------------------------------------------------------------------------- parts

    def label(self, asked: Asked, name: str, classes: int) -> int | None:
        """Return the class that is asked for, of so many; None if none is, or if there are no classes."""
        return asked.whole(name, 0, 0, classes - 1) if classes and name in asked.words else None

    def place(self, asked: Asked, name: str, label: int | None) -> int:
        """Return the index of the training image of this number, counted in its class, or among all if none is given."""
        index = torch.arange(len(self.train)) if label is None else (self.train.labels == label).nonzero().squeeze(1)
        if not len(index):
            raise Refused(f"there is no training image of class {self.name_of(label)}")
        return int(index[asked.whole(name, 0, 0, len(index) - 1)])

    def draw(self, n: int, labels: Tensor | None, seed: int) -> Tensor:
        """Draw n samples, with the labels (n,) of a conditional method: (n, C, H, W) on the CPU."""
        images = self.method.sample(n, self.on_device(labels), generator=seeded(seed, device=self.method.device))
        check_images(self.method, images, n)
        return images.cpu()

    def decode(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Decode codes (n, D), with their labels (n,) if the method is conditional: (n, C, H, W) on the CPU."""
        return self.method.decode_codes(
            codes.to(self.method.device), self.on_device(labels) if self.method.num_classes else None
        ).cpu()

    def on_device(self, labels: Tensor | None) -> Tensor | None:
        return None if labels is None else labels.to(self.method.device)

    def name_of(self, label: int) -> str:
        """Return the name of a class; empty if it is none."""
        return self.facts.class_names[label] if 0 <= label < len(self.facts.class_names) else ""

    def of_class(self, labels: Tensor | None, k: int) -> str:
        return "" if labels is None else f" of class {self.name_of(int(labels[k]))}"

    def shown(self, images: Tensor, what: str, labels: Tensor | None) -> View:
        """Return images (n, C, H, W) with the names of their classes (n,)."""
        names = ["" if labels is None else self.name_of(int(labels[k])) for k in range(len(images))]
        said = [what] if len(images) == 1 else [f"{what} {k + 1}" for k in range(len(images))]
        return View(
            [
                Picture(pixels, name or one, f"{one} of class {name}" if name else one)
                for pixels, name, one in zip(as_pixels(images), names, said, strict=True)
            ]
        )


def as_pixels(images: Tensor) -> Tensor:
    """Round images (n, C, H, W) in [0, 1] to uint8.

    Raises:
        Failed: they are NaN or infinite.
    """
    if not images.isfinite().all():
        raise Failed("the model makes images that are NaN or infinite: its weights are damaged")
    return images.mul(255).round().clamp(0, 255).to(torch.uint8)


def as_json(shown: Picture) -> dict[str, str]:
    """Return a picture as a data URL with its texts."""
    png = base64.b64encode(png_bytes(picture(shown.pixels))).decode()
    return {"png": f"data:image/png;base64,{png}", "caption": shown.caption, "alt": shown.alt}
