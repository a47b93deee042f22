"""Walk through the codes of a method: along their principal directions, and from one code to another."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from genrun.data.images import Images, shuffled
from genrun.errors import Refused
from genrun.inference import seeded, training_codes
from genrun.maths.principal import Principal, principal_components
from genrun.methods.method import Method
from genrun.types import Decodes, Encodes, KeepsCodes

MOST_CODES = 2000  # codes whose principal directions are found
SLIDERS = 8  # directions that can be set
REACH = 3  # standard deviations to either side
WAYS = ("straight", "spherical")


class Codes:
    """The codes of training images of a method that decodes codes.

    Args:
        method: has codes and decodes them.
        train: the training images; None: they are not there, and the method keeps its codes.
        chunk: images that are encoded at a time.
    """

    def __init__(self, method: Method, train: Images | None, chunk: int) -> None:
        self.method, self.train, self.chunk = method, train, chunk
        self.directions = lru_cache(maxsize=64)(self._directions)

    @staticmethod
    def known(method: Method, train: Images | None) -> bool:
        """Return whether a method decodes codes, and codes of training images are known."""
        has_codes = isinstance(method, KeepsCodes) or (isinstance(method, Encodes) and train is not None)
        return isinstance(method, Decodes) and has_codes

    def _directions(self, label: int | None) -> Principal:
        """Return the principal directions of the codes of a class, or of all classes: of at most MOST_CODES training images.

        Raises:
            Refused: there are fewer than two images of this class.
        """
        labels = None if self.train is None else self.train.labels
        order = shuffled(len(self.method.stored_codes()) if labels is None else len(labels))
        if label is not None and labels is not None:
            order = order[labels[order] == label]
        if len(order) < 2:
            raise Refused(f"class: expected one with at least two training images, this one has {len(order)}")
        try:
            return principal_components(self.of_images(order[:MOST_CODES]))
        except ValueError as error:
            raise Refused(str(error)) from error

    def of_images(self, index: Tensor) -> Tensor:
        """Return the codes of the training images at these indices (n,): (n, D)."""
        return training_codes(self.method, self.train, index, self.chunk)

    def at(self, label: int | None, steps: list[float], seed: int | None) -> Tensor:
        """Return the code that is so many standard deviations from a start along the first principal directions: (1, D) float32.

        With mean μ, directions v_k and standard deviations s_k of the codes of a class:

            start + Σ_k steps_k s_k v_k,   start = μ, or with a seed  μ + Σ_k ε_k s_k v_k,  ε ~ N(0, I)

        Args:
            steps: at most as many as there are directions count; the others are left out.
        """
        mean, components, deviations, _ = self.directions(label)
        amounts = torch.zeros(len(deviations), dtype=torch.float64)
        if seed is not None:
            amounts += torch.randn(len(deviations), generator=seeded(seed), dtype=torch.float64)
        some = min(len(steps), len(amounts))
        amounts[:some] += torch.tensor(steps[:some], dtype=torch.float64)
        return (mean + (amounts * deviations) @ components).float()[None]


def path(start: Tensor, end: Tensor, count: int, way: str) -> Tensor:
    """Return codes on the way from one code (D,) to another, both included: (count, D).

    Args:
        way: `straight`, or `spherical`: along a circle around 0, which keeps the length of codes from N(0, I). With ω the angle of the
            codes, (sin((1 - t)ω) start + sin(tω) end) / sin ω.
    """
    t = torch.linspace(0, 1, count).to(start)[:, None]
    if way == "spherical":
        cosine = torch.nn.functional.cosine_similarity(start.double(), end.double(), dim=0).clamp(-1, 1).item()
        omega = math.acos(cosine)
        if math.sin(omega) > 1e-3:  # otherwise they point the same or opposite ways, and there is no such circle
            return (((1 - t) * omega).sin() * start + (t * omega).sin() * end) / math.sin(omega)
    return (1 - t) * start + t * end
