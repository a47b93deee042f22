"""The base class of methods that draw codes from a prior and decode them to images."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from genrun.maths.mixtures import Prior, Progress
from genrun.methods.method import Method


class CodePriorMethod(Method):
    """A generator with a prior of codes. The prior is fitted to the codes of the training images.

    Attributes:
        prior: a prior with `max(1, num_classes)` classes.
    """

    prior: Prior

    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        """Draw codes L ~ p(L | y) and decode them to images (n, C, H, W); see `Method.sample`."""
        self.check_labels(n, labels)
        return self.decode_codes(self.draw_codes(n, labels, generator), labels)

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
