"""Types that all parts of genrun share: a batch, the facts of the data, and what a method can do (its capabilities).

A capability is a Protocol, checked with `isinstance`. Callbacks, figures, evaluation and verbs ask for a capability, never for a
method's name. A runtime Protocol compares names only, so each capability has a method name of its own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Generator, Tensor, nn


class Batch(NamedTuple):
    """B images of a split (training or validation), with their labels and their places in it."""

    image: Tensor  # (B, C, H, W) in [0, 1], float32
    label: Tensor  # (B,) int64 in 0 … num_classes - 1; -1 where the data has no labels
    index: Tensor  # (B,) int64, the image's place in its split (0 … train_size - 1 in training)


@dataclass(frozen=True)
class Facts:
    """Facts of the data, which are read before the model is built."""

    image_shape: tuple[int, int, int]  # (C, H, W)
    num_classes: int  # 0: no labels
    class_names: tuple[str, ...]
    train_size: int  # images to train on; the validation images are already taken out
    checksum: str  # of the content that was read, before classes, size or number are chosen

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as a dict of lists, strings and numbers, which YAML and JSON can hold."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> Facts:
        """Make the facts from the dict that `to_dict` returned."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()})


@dataclass(frozen=True)
class Phase:
    """One part of the training: a fit with its own budget, optimizer, checkpoints and columns in metrics.csv.

    Args:
        name: its name in the YAML's `model.phases`, status.json, metrics.csv and the progress bar; empty if the training has one part.
        max_epochs: its budget, in epochs; None: Lightning's default, which trainer.max_time may end earlier.
        is_last: whether it is the last phase. The method draws samples after it, so the sample grids and the judge work in it.
    """

    name: str = ""
    max_epochs: int | None = None
    is_last: bool = True

    @property
    def stage(self) -> str:
        """Return the name of the phase's stage in status.json."""
        return f"fit {self.name}" if self.name else "fit"


@runtime_checkable
class Reconstructs(Protocol):
    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the model's nearest images to the given ones: (n, C, H, W) in [0, 1] → the same shape and range.

        Args:
            labels: (n,); they help a conditional model.
        """


@runtime_checkable
class Encodes(Protocol):
    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the codes of images: (n, C, H, W) in [0, 1] → (n, D)."""


@runtime_checkable
class Decodes(Protocol):
    def decode_codes(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Decode codes to images: (n, D) → (n, C, H, W) in [0, 1]."""


@runtime_checkable
class KeepsCodes(Protocol):
    def stored_codes(self) -> Tensor:
        """Return the codes of the training images, in the order of `Batch.index`: (train_size, D)."""


@runtime_checkable
class Refits(Protocol):
    def refit_prior(self, codes: Tensor, labels: Tensor, *, progress: Callable | None = None) -> None:
        """Fit the prior to codes (N, D) and their labels (N,); `sample` draws codes from this prior.

        Args:
            progress: is called with the parts of the fit and their number. It yields the parts, so that it can show how far the fit is.
        """

    def refitted_part(self) -> str:
        """Return the name of the part that `refit_prior` fits: its key below `model` in the YAML, and the prefix of its saved weights.

        Training must not depend on this part: `genrun refit` replaces it and nothing else.
        """


@runtime_checkable
class Calibrates(Protocol):
    def calibrate(self, images: Tensor, labels: Tensor) -> None:
        """Set what sampling needs from held-out images (n, C, H, W) in [0, 1] and their labels (n,), both on the CPU, after training.

        Raises:
            ValueError: there are too few images.
        """


@runtime_checkable
class Resizes(Protocol):
    def resize(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Make room, in a part of a method, for saved tensors of these shapes, before they are loaded.

        Args:
            shapes: name of a tensor in this part → its shape.
        """


@runtime_checkable
class Classifies(Protocol):
    def classify(self, images: Tensor) -> Tensor:
        """Return the logits of the classes: (n, C, H, W) in [0, 1] → (n, num_classes)."""


class Generations(NamedTuple):
    """n images that were made by combining codes, and how many tries each of them took."""

    images: Tensor  # (n, C, H, W) in [0, 1]
    codes: Tensor  # (n, D)
    # (n,) int64, combinations drawn until one passed the latent check; None: there is no such check
    latent_tries: Tensor | None
    # (n,) int64, combinations drawn until one passed every check; None: there is no check
    tries: Tensor | None


@runtime_checkable
class Combines(Protocol):
    def combine(
        self,
        labels: Tensor,
        *,
        sources: int,
        spread: str,
        checked: bool = True,
        generator: Generator | None = None,
    ) -> Generations:
        """Generate an image of each label (n,) from a combination of codes of training images of its class.

        Args:
            sources: number of codes in a combination.
            spread: `averaged`: the convex combination itself; `kept`: moved away from the class's mean until it varies as the codes do.
            checked: draw again until the combination passes the method's checks; False: take the first.

        Raises:
            Failed: too many combinations of a class fail the checks.
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
        """Draw n images at any resolution: (n, C, resolution, resolution) in [0, 1].

        Equal seeds give the same images at every resolution.

        Args:
            window: (top, left, height, width) in pixels of these images; only this part of them is computed and returned.
        """


@runtime_checkable
class Trajectory(Protocol):
    def sample_trajectory(
        self, n: int, labels: Tensor | None = None, *, frames: int = 40, generator: Generator | None = None
    ) -> Tensor:
        """Draw n images and return the states on the way: (T, n, C, H, W) in [0, 1], T ≤ frames.

        They go from the first state to the images that `sample` gives for an equal seed.
        """


@runtime_checkable
class MovesParticles(Protocol):
    def fitted_particles(self, n: int) -> tuple[Tensor, Tensor | None]:
        """Return at most n of the samples to which training fitted the method, (n, C, H, W) in [0, 1], and their labels (n,).

        The labels are None if the method is unconditional. These samples may look better than new ones.
        """


@runtime_checkable
class Noises(Protocol):
    def noise_trajectory(self, images: Tensor, *, frames: int = 40, generator: Generator | None = None) -> Tensor:
        """Return how images turn to noise: (n, C, H, W) in [0, 1] → (frames, n, C, H, W) in [0, 1].

        The frames are evenly spaced in time; the first frame shows the images themselves.
        """

    def noise_schedule(self) -> dict[str, Tensor]:
        """Return curves over the time of the process, by name: each (T,), evenly spaced from the image to the noise."""


@runtime_checkable
class Diagnoses(Protocol):
    def diagnose(self, *, generator: Generator | None = None) -> dict[str, float]:
        """Return metrics that only this method has, by name, for the results table."""


class Program(NamedTuple):
    """A pure function of tensors that others can run without genrun: all randomness comes in as an input.

    Args:
        module: the function; it is called with the inputs by name.
        inputs: name → an example. The first dimension is that of the images, at least 2; `step` has none. Names: `noise` ~ N(0, I);
            `uniform`: in [0, 1); `labels`: int64; `x`, `memory`: the state of a sampler, x starts as N(0, I) and the memory as zeros;
            `step`: 0 … steps - 1, int64; `codes`: some that the method drew.
        steps: None: the function returns images (n, C, H, W) in [0, 1]. Otherwise it takes one step of a sampler and returns the next x and
            memory; after so many steps, (x + 1)/2, clipped to [0, 1], are the images.
        only_decodes: why the function has `codes` as input and cannot draw them; None: it draws images.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    steps: int | None = None
    only_decodes: str | None = None

    @property
    def name(self) -> str:
        """What the function is: `sampler`, `sampler_step` or `decoder`."""
        return "decoder" if self.only_decodes else "sampler" if self.steps is None else "sampler_step"


@runtime_checkable
class Exports(Protocol):
    def exported_program(self) -> Program:
        """Return the method's decoder or sampler as a pure function, on the CPU.

        Raises:
            ValueError: there is none with these options; the message says why.
        """


@runtime_checkable
class Density(Protocol):
    def log_prob(self, images: Tensor) -> Tensor:
        """Return the log density of each image on [0, 1]^D, in nats: (n, C, H, W) in [0, 1] → (n,). A true density only.

        If the method's `binary` is true, the images are 0 or 1, and the values are log masses.
        """


@runtime_checkable
class Bounded(Protocol):
    def elbo(self, images: Tensor, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
        """Return a lower bound of the log density of each image on [0, 1]^D, in nats: (n, C, H, W) in [0, 1] → (n,).

        More samples give the tighter, importance-weighted bound. If the method's `binary` is true, the images are 0 or 1, and the values
        are bounds of log masses.
        """
