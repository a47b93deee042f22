"""The base class of methods that draw codes from a prior and decode them to images."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from genrun.maths.mixtures import Prior, Progress
from genrun.methods.method import Method
from genrun.types import Program

EXPORTED_CODES = 20  # codes that are given along with an exported decoder


class CodePriorMethod(Method):
    """A generator with a prior of codes. The prior is fitted to the codes of the training images.

    Attributes:
        prior: a prior with `max(1, num_classes)` classes.
        decodes_by_class: whether a conditional method decodes the same code to another image for each class.
    """

    prior: Prior
    decodes_by_class = False

    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        """Draw codes L ~ p(L | y) and decode them to images (n, C, H, W); see `Method.sample`."""
        self.check_labels(n, labels)
        return self.decode_codes(self.draw_codes(n, labels, generator), labels)

    def check_options(self) -> None:
        self.prior.check_options()

    def check_data(self, labels: Tensor) -> None:
        self.prior.check(self.classes_of(labels))

    def refit_prior(self, codes: Tensor, labels: Tensor, *, progress: Progress | None = None) -> None:
        """Fit the prior to codes (N, D) and labels (N,).

        Raises:
            ValueError: there are too few codes, or no such prior can be fitted to them.
        """
        self.prior.fit(codes, self.classes_of(labels), progress=progress)

    def refitted_part(self) -> str:
        """Return "prior", because training does not depend on it."""
        return "prior"

    def draw_codes(self, n: int, labels: Tensor | None, generator: Generator | None) -> Tensor:
        """Draw the codes of n new images from the prior: (n, D)."""
        of_class = torch.zeros(n, dtype=torch.long, device=self.device) if labels is None else labels
        return self.prior.sample(of_class, generator=generator)

    # -- export

    def decoded(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Decode codes (n, D) to images (n, C, H, W) in [0, 1], all at once, without checks and without anything but tensor operations."""
        raise NotImplementedError

    def only_decodes(self) -> str | None:
        """Return why new codes cannot be drawn by a pure function of noise; None if they can."""
        return self.prior.not_from_noise()

    def exported_program(self) -> Program:
        """Return the sampler as a function of noise, or else the decoder; see `genrun.types.Exports`."""
        why = self.only_decodes()
        labels = torch.arange(EXPORTED_CODES) % self.num_classes if self.num_classes else None
        if why:
            inputs = {"codes": self.exported_codes(labels, Generator().manual_seed(0))}
        else:
            inputs = {"noise": torch.randn(EXPORTED_CODES, self.prior.size)}
            if self.prior.mixes():
                inputs["uniform"] = torch.rand(EXPORTED_CODES)
        if labels is not None and (not why or self.decodes_by_class):
            inputs["labels"] = labels
        return Program(FromCodes(self), inputs, only_decodes=why)

    def exported_codes(self, labels: Tensor | None, generator: Generator) -> Tensor:
        """Draw codes to give along with an exported decoder: labels (n,) → (n, D)."""
        return self.draw_codes(EXPORTED_CODES, labels, generator)


class FromCodes(nn.Module):
    """A method's way from noise to images, or from codes to images where its codes are no function of noise."""

    def __init__(self, method: CodePriorMethod) -> None:
        super().__init__()
        self.method = method

    def forward(
        self,
        noise: Tensor | None = None,
        codes: Tensor | None = None,
        uniform: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Return images (n, C, H, W) in [0, 1] from noise or codes (n, D), uniform (n,) and labels (n,)."""
        if codes is None:
            of_class = noise.new_zeros(noise.shape[0], dtype=torch.long) if labels is None else labels
            codes = self.method.prior.from_noise(noise, of_class, uniform)
        return self.method.decoded(codes, labels)
