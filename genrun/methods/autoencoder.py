r"""Autoencoder with Gaussians: two networks learn codes of images, and a distribution for each class is fitted to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from genrun.maths.learning_rates import LearningRateSchedule
from genrun.maths.mixtures import ClassMixture, Prior
from genrun.maths.random_numbers import normal_like
from genrun.maths.reconstruction import ReconstructionError
from genrun.maths.sharding import gathered
from genrun.methods.code_prior import CodePriorMethod
from genrun.types import Batch

DECODED_AT_ONCE = 2048  # images
PREVIEWED = 5000  # training images whose codes the prior is fitted to while training goes on


class Autoencoder(CodePriorMethod):
    r"""Autoencoder with a prior for each class ("Image Generation Using an Autoencoder", sections 2.3 and 2.4).

        L = f_enc(X),   F(X) = σ(f_dec(L))                                (2.3.1)
        loss = E(X) + sparsity · mean |L_j| + decorrelation · Σ_{i≠j} ρ_ij²,
            E: mean squared error (1), cross-entropy (2) or squared distance (3)
        P(L | y) = Σ_i π_yi N(L; μ_yi, Σ_yi), fitted to the codes of class y    (4)

    A sample of class y is σ(f_dec(L)) with L ~ P(L | y). Data without labels has one P(L) for all.

    Args:
        image_shape: (C, H, W).
        num_classes: of the data.
        encoder: makes a network (n, C, H, W) → (n, code_size) from (image_shape, outputs).
        decoder: makes a network (n, code_size) → (n, C, H, W), logits, from (inputs, image_shape).
        error: E.
        optimizer: takes both networks.
        prior: makes P from (classes, code_size); it is fitted to the codes of the training images after training.
        code_size: D, the length of L.
        code_relu: a ReLU behind the encoder.
        code_noise: σ; in training the decoder sees L + σ s ⊙ ε, s the codes' standard deviations over the batch, ε ~ N(0, I): it learns to
            decode what lies between codes.
        sparsity: weight of the mean |L_j| in the loss, one of the document's closing wishes.
        decorrelation: weight of Σ_{i≠j} ρ_ij², ρ the correlations of the code's units over the batch: disentangled to second order,
            the other wish.
        schedule: of the rate over the training, after a warm-up of its first 2 % where it falls.

    References:
        Ghosh et al., From variational to deterministic autoencoders, 2020 (a decoder made smooth by noise, a prior fitted afterwards).
        Cogswell et al., Reducing overfitting in deep networks by decorrelating representations, 2016.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        error: ReconstructionError,
        optimizer: Callable[..., torch.optim.Optimizer],
        prior: Callable[[int, int], Prior] = ClassMixture,
        code_size: int = 32,
        code_relu: bool = False,
        code_noise: float = 0.0,
        sparsity: float = 0.0,
        decorrelation: float = 0.0,
        schedule: LearningRateSchedule = "cosine",
    ) -> None:
        super().__init__(image_shape, num_classes)
        if code_size < 1:
            raise ValueError(f"model.code_size: expected at least 1, got {code_size}")
        for name, value in (("code_noise", code_noise), ("sparsity", sparsity), ("decorrelation", decorrelation)):
            if not 0 <= value < math.inf:
                raise ValueError(f"model.{name}: expected a finite number, at least 0, got {value}")
        self.encoder = encoder(self.image_shape, code_size)
        self.decoder = decoder(code_size, self.image_shape)
        self.error = error
        self.prior = prior(max(1, num_classes), code_size)
        self.optimizer, self.code_size, self.code_relu, self.schedule = optimizer, code_size, code_relu, schedule
        self.code_noise, self.sparsity, self.decorrelation = code_noise, sparsity, decorrelation

    # ------------------------------------------------------------------------------------------------------------ training

    def codes_of(self, images: Tensor) -> Tensor:
        """f_enc: (n, C, H, W) in [0, 1] → (n, D)."""
        weight = next(self.parameters())
        codes = self.encoder(images.to(weight)).to(weight)  # in 32 bits where products are in 16
        return codes.relu() if self.code_relu else codes

    def training_step(self, batch: Batch, _: int) -> Tensor:
        self.follow_schedule()
        codes = self.codes_of(batch.image)
        seen = codes
        if self.code_noise:
            # the gradient knows that wider codes have more noise: they would grow without end to escape it
            seen = codes + self.code_noise * gathered(codes).std(0, correction=0) * normal_like(codes)
        loss = error = self.error(self.decoder(seen).to(codes), batch.image.to(codes)).mean()
        terms = {"reconstruction": error}
        if self.sparsity:
            terms["sparsity"] = codes.abs().mean()
            loss = loss + self.sparsity * terms["sparsity"]
        if self.decorrelation:
            terms["correlation"] = squared_correlations(gathered(codes))
            loss = loss + self.decorrelation * terms["correlation"]
        self.track(**terms)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters())

    @torch.no_grad()
    def on_validation_epoch_start(self) -> None:
        """The epoch's grid is drawn from the class's Gaussian, whatever the prior will be."""
        train, some = self.spread_training_images(PREVIEWED)
        codes = torch.cat([self.encode(train.images(part).to(self.device)) for part in some.split(DECODED_AT_ONCE)])
        self.prior.fit_roughly(codes, self.classes_of(train.labels[some]))

    def validation_step(self, batch: Batch, _: int) -> None:
        """The mean squared error of held-out images, whatever the loss: the metric that losses and depths are compared by."""
        error = (self.reconstruct(batch.image) - batch.image).square().mean()
        self.log("val/score", error, batch_size=len(batch.image))

    # ---------------------------------------------------------------------------------------------------------- generation

    @torch.no_grad()
    def decode_codes(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """σ(f_dec(L)), of any class's codes: (n, D) → (n, C, H, W) in [0, 1]."""
        if not len(codes):
            return codes.new_empty(0, *self.image_shape, dtype=torch.float32)
        parts = codes.to(next(self.parameters())).split(DECODED_AT_ONCE)
        return torch.cat([self.decoder(part).float().sigmoid() for part in parts])

    @torch.no_grad()
    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """f_enc, of images of any class: (n, C, H, W) in [0, 1] → (n, D)."""
        return self.codes_of(images)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """F(X): (n, C, H, W) in [0, 1] → the same."""
        return self.decode_codes(self.encode(images))


def squared_correlations(codes: Tensor) -> Tensor:
    """Σ_{i≠j} ρ_ij² over the units of codes (n, D); a unit that never changes correlates with none."""
    centred = codes - codes.mean(0)
    unit = centred / centred.norm(dim=0).clamp_min(1e-6)
    with torch.autocast(codes.device.type, enabled=False):  # a small product, of which small parts count
        return (unit.T @ unit).fill_diagonal_(0).square().sum()
