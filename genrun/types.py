"""What the rooms of genrun say to each other: a batch, the facts of the data, and what a method can do.

Capabilities are Protocols checked with `isinstance`; callbacks, figures, evaluation and verbs ask for them and never for a method's
name. A runtime Protocol compares names only, so each capability has a method name of its own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor


class Batch(NamedTuple):
    """B images of the training set and where they stand in it."""

    image: Tensor  # (B, C, H, W) in [0, 1], float32
    label: Tensor  # (B,) int64 in 0 … num_classes - 1; -1 where the data has no labels
    index: Tensor  # (B,) int64, the image's place in its split (0 … train_size - 1 in training)


@dataclass(frozen=True)
class Facts:
    """What the data says of itself, read before the model is built."""

    image_shape: tuple[int, int, int]  # (C, H, W)
    num_classes: int  # 0: no labels
    class_names: tuple[str, ...]
    train_size: int  # images that are trained on (validation is held out of them already)
    checksum: str  # of the content that was read, before any choice of classes, size or number

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as lists, strings and numbers, which YAML and JSON can hold."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Facts:
        """Read what `to_dict` returned."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()})


@dataclass(frozen=True)
class Phase:
    """One part of a training: a fit of its own, with its own budget, optimizer, checkpoints and columns in metrics.csv.

    Args:
        name: in the YAML's `model.phases`, status.json, metrics.csv and the progress; empty for a training of one part.
        max_epochs: its budget.
        is_last: the method draws samples after this phase, so sample grids and the judge look on.
    """

    name: str = ""
    max_epochs: int = 1
    is_last: bool = True

    @property
    def stage(self) -> str:
        """The name of its stage in status.json."""
        return f"fit {self.name}" if self.name else "fit"


@runtime_checkable
class Reconstructs(Protocol):
    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(n, C, H, W) in [0, 1] → the model's nearest images, same shape and range; labels help a conditional one."""


@runtime_checkable
class Encodes(Protocol):
    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """(n, C, H, W) in [0, 1] → codes (n, D)."""


@runtime_checkable
class Decodes(Protocol):
    def decode_codes(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """(n, D) → images (n, C, H, W) in [0, 1]."""


@runtime_checkable
class KeepsCodes(Protocol):
    def stored_codes(self) -> Tensor:
        """(train_size, D): the codes of the training images, in the order of `Batch.index`."""


@runtime_checkable
class Refits(Protocol):
    def refit_prior(self, codes: Tensor, labels: Tensor, *, progress: Callable | None = None) -> None:
        """Fit the prior that `sample` draws codes from to codes (N, D) and their labels (N,).

        Args:
            progress: is called with the parts of the fit and their number, and yields the parts, so that it can show how far the fit is.
        """

    def refitted_part(self) -> str:
        """Return the name of what `refit_prior` fits, below `model` in the YAML and in front of its entries in the weights.

        Training must not depend on it: `genrun refit` exchanges this part and nothing else.
        """


@runtime_checkable
class Continuous(Protocol):
    def sample_at(
        self,
        n: int,
        resolution: int,
        labels: Tensor | None = None,
        *,
        window: tuple[int, int, int, int] | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """(n, C, resolution, resolution) in [0, 1], or only the window (top, left, height, width) of it, in its pixels.

        Equal seeds give the same images at every resolution.
        """


@runtime_checkable
class Trajectory(Protocol):
    def sample_trajectory(
        self, n: int, labels: Tensor | None = None, *, frames: int = 40, generator: Generator | None = None
    ) -> Tensor:
        """How n samples come about: (T, n, C, H, W) in [0, 1], T ≤ frames, from the first state to what `sample` gives for equal seeds."""


@runtime_checkable
class Noises(Protocol):
    def noise_trajectory(self, images: Tensor, *, frames: int = 40, generator: Generator | None = None) -> Tensor:
        """(n, C, H, W) in [0, 1] → (frames, n, C, H, W) in [0, 1]: how images turn to noise, evenly in time, from the images themselves."""

    def noise_schedule(self) -> dict[str, Tensor]:
        """Curves over the process's time, by name: each (T,), evenly from the image to the noise."""


@runtime_checkable
class Diagnoses(Protocol):
    def diagnose(self, *, generator: Generator | None = None) -> dict[str, float]:
        """Figures that only this method has, by name, for the results table."""


@runtime_checkable
class Density(Protocol):
    def log_prob(self, images: Tensor) -> Tensor:
        """(n, C, H, W) in [0, 1] → log density of each on [0, 1]^D, nats (n,); a true density only.

        Of a method whose `binary` is true the images are 0 or 1, and these are log masses.
        """


@runtime_checkable
class Bounded(Protocol):
    def elbo(self, images: Tensor, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
        """(n, C, H, W) in [0, 1] → a lower bound of each one's log density on [0, 1]^D, nats (n,).

        More samples give the tighter importance-weighted bound. Of a method whose `binary` is true the images are 0 or 1, and it is a
        bound of log masses.
        """
