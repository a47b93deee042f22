"""A method that trains in two phases, for tests: a linear classifier, then a linear decoder of what it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genrun.maths.mixtures import Prior
from genrun.maths.random_numbers import normal_like
from genrun.methods import Method
from genrun.methods.code_prior import CodePriorMethod
from genrun.types import Batch


class TwoPhases(Method):
    def __init__(self, image_shape: Sequence[int], num_classes: int, phases: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(image_shape, num_classes)
        pixels = math.prod(self.image_shape)
        self.classifier, self.decoder = nn.Linear(pixels, num_classes), nn.Linear(num_classes, pixels)
        self.options = phases

    def phases(self) -> tuple[str, ...]:
        return ("classifier", "decoder")

    def begin_phase(self, name: str) -> None:
        super().begin_phase(name)
        self.classifier.requires_grad_(name == "classifier")
        self.decoder.requires_grad_(name == "decoder")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(getattr(self, self.phase).parameters(), lr=self.options[self.phase]["lr"])

    def training_step(self, batch: Batch, _: int) -> Tensor:
        logits = self.classifier(batch.image.flatten(1))
        if self.phase == "classifier":
            error = F.cross_entropy(logits, batch.label)
        else:
            noisy = logits.softmax(1) + 0.1 * normal_like(logits)  # from the global stream, as ranks share it
            error = F.mse_loss(self.decoder(noisy).sigmoid(), batch.image.flatten(1))
        self.track(error=error)
        return error

    def validation_step(self, batch: Batch, _: int) -> None:
        logits = self.classifier(batch.image.flatten(1))
        score = (
            F.cross_entropy(logits, batch.label) if self.phase == "classifier" else self.decoder(logits).square().mean()
        )
        self.log("val/score", score, batch_size=len(batch.image))

    @torch.no_grad()
    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        self.check_labels(n, labels)
        codes = F.one_hot(labels, self.num_classes).to(self.decoder.weight)
        codes = codes + 0.1 * torch.randn(codes.shape, generator=generator, device=codes.device, dtype=codes.dtype)
        return self.decoder(codes).sigmoid().view(n, *self.image_shape).float()


class TwoPhasesPrior(TwoPhases, CodePriorMethod):
    """The same with a prior of codes, so that it can be refitted."""

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        phases: Mapping[str, Mapping[str, Any]],
        prior: Callable[[int, int], Prior],
    ) -> None:
        super().__init__(image_shape, num_classes, phases)
        self.prior = prior(num_classes, num_classes)

    sample = CodePriorMethod.sample

    @torch.no_grad()
    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.classifier(images.flatten(1))

    @torch.no_grad()
    def decode_codes(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.decoder(codes).sigmoid().view(len(codes), *self.image_shape).float()
