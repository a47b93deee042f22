r"""Autoencoder with Gaussians: two networks learn codes of images, and a distribution is fitted to the codes of each class."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from genrun.maths.divergences import mean_discrepancy
from genrun.maths.learning_rates import LearningRateSchedule
from genrun.maths.mixtures import ClassMixture, Prior
from genrun.maths.random_numbers import normal_like
from genrun.maths.reconstruction import ReconstructionError
from genrun.maths.sharding import gathered
from genrun.methods.code_prior import CodePriorMethod
from genrun.types import Batch

DECODED_AT_ONCE = 2048  # images
PREVIEWED = 5000  # during training, the prior is fitted to the codes of this many training images


class Autoencoder(CodePriorMethod):
    r"""Autoencoder with a prior for each class ("Image Generation Using an Autoencoder", sections 2.3 and 2.4).

        L = f_enc(X),   F(X) = σ(f_dec(L))                                (2.3.1)
        loss = E(X) + sparsity · mean |L_j| + decorrelation · Σ_{i≠j} ρ_ij²
                + code_decay · ½ |L|² + decoder_decay · |θ_dec|² + mmd · MMD²(L, N(0, I)),
            E: mean squared error (1), cross-entropy (2) or squared distance (3)
        P(L | y) = Σ_i π_yi N(L; μ_yi, Σ_yi), fitted to the codes of class y    (4)

    A sample of class y is σ(f_dec(L)) with L ~ P(L | y). Data without labels has one P(L).

    Args:
        image_shape: (C, H, W).
        num_classes: number of classes of the data; 0: no labels.
        encoder: makes a network (n, C, H, W) → (n, code_size) from (image_shape, outputs).
        decoder: makes a network (n, code_size) → (n, C, H, W), logits, from (inputs, image_shape).
        error: E.
        optimizer: makes the optimizer from the parameters of both networks.
        prior: makes P from (classes, code_size); it is fitted to the codes of the training images after training.
        code_size: D, the length of L.
        code_relu: put a ReLU after the encoder.
        code_noise: σ; in training the decoder sees L + σ s ⊙ ε, where s are the standard deviations of the codes over the batch and
            ε ~ N(0, I). So it learns to decode what lies between the codes.
        sparsity: weight of the mean |L_j| in the loss, one of the two wishes at the end of the document.
        decorrelation: weight of Σ_{i≠j} ρ_ij², where ρ are the correlations of the code's units over the batch: disentangled codes, up to
            second order, the other wish.
        code_decay: weight of ½ |L|², which keeps the codes from growing (Ghosh et al.: L_Z).
        decoder_decay: weight of the sum of the squares of the decoder's weights (Ghosh et al.: L_REG of RAE-L2).
        mmd: weight of the squared maximum mean discrepancy between the batch's codes and as many from N(0, I), see
            `genrun.maths.divergences.mean_discrepancy`; with the prior N(0, I) the autoencoder is then a WAE-MMD.
        schedule: how the learning rate changes over the training; if it falls, the first 2 % are a warm-up.

    References:
        Ghosh et al., From variational to deterministic autoencoders, 2020 (noise makes the decoder smooth; the prior is fitted afterwards).
        Cogswell et al., Reducing overfitting in deep networks by decorrelating representations, 2016.
        Tolstikhin et al., Wasserstein auto-encoders, 2018 (WAE-MMD).
    """

    drawing_options = ("prior",)

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
        code_decay: float = 0.0,
        decoder_decay: float = 0.0,
        mmd: float = 0.0,
        schedule: LearningRateSchedule = "cosine",
    ) -> None:
        super().__init__(image_shape, num_classes)
        if code_size < 1:
            raise ValueError(f"model.code_size: expected at least 1, got {code_size}")
        for name, value in (
            ("code_noise", code_noise),
            ("sparsity", sparsity),
            ("decorrelation", decorrelation),
            ("code_decay", code_decay),
            ("decoder_decay", decoder_decay),
            ("mmd", mmd),
        ):
            if not 0 <= value < math.inf:
                raise ValueError(f"model.{name}: expected a finite number, at least 0, got {value}")
        self.encoder = encoder(self.image_shape, code_size)
        self.decoder = decoder(code_size, self.image_shape)
        self.error = error
        self.prior = prior(max(1, num_classes), code_size)
        self.optimizer, self.code_size, self.code_relu, self.schedule = optimizer, code_size, code_relu, schedule
        self.code_noise, self.sparsity, self.decorrelation = code_noise, sparsity, decorrelation
        self.code_decay, self.decoder_decay, self.mmd = code_decay, decoder_decay, mmd

    # ------------------------------------------------------------------------------------------------------------ training

    def codes_of(self, images: Tensor) -> Tensor:
        """Return the codes f_enc(X), with gradients: (n, C, H, W) in [0, 1] → (n, D)."""
        weight = next(self.parameters())
        codes = self.encoder(images.to(weight)).to(weight)  # in 32 bits, also in mixed precision
        return codes.relu() if self.code_relu else codes

    def training_step(self, batch: Batch, _: int) -> Tensor:
        self.follow_schedule()
        codes = self.codes_of(batch.image)
        seen = codes
        if self.code_noise:
            # s has a gradient: without it, the codes would grow without limit to escape the noise
            seen = codes + self.code_noise * gathered(codes).std(0, correction=0) * normal_like(codes)
        loss = error = self.error(self.decoder(seen).to(codes), batch.image.to(codes)).mean()
        terms = {"reconstruction": error}
        if self.sparsity:
            terms["sparsity"] = codes.abs().mean()
            loss = loss + self.sparsity * terms["sparsity"]
        if self.decorrelation:
            terms["correlation"] = squared_correlations(gathered(codes))
            loss = loss + self.decorrelation * terms["correlation"]
        if self.code_decay:
            terms["code_size"] = codes.square().sum(1).mean() / 2
            loss = loss + self.code_decay * terms["code_size"]
        if self.decoder_decay:
            terms["decoder_size"] = sum(weight.square().sum() for weight in self.decoder.parameters())
            loss = loss + self.decoder_decay * terms["decoder_size"]
        if self.mmd and len(whole := gathered(codes)) > 1:  # the last batch of an epoch may be a single image
            terms["discrepancy"] = mean_discrepancy(whole, gathered(normal_like(codes)))
            loss = loss + self.mmd * terms["discrepancy"]
        self.track(**terms)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters())

    def on_validation_epoch_start(self) -> None:
        self.prepare_samples()

    @torch.no_grad()
    def prepare_samples(self) -> None:
        """Fit one Gaussian per class, whatever the prior is, for the sample grid of this epoch."""
        train, some = self.spread_training_images(PREVIEWED)
        codes = torch.cat([self.encode(train.images(part).to(self.device)) for part in some.split(DECODED_AT_ONCE)])
        self.prior.fit_roughly(codes, self.classes_of(train.labels[some]))

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log the mean squared error of held-out images, whatever the loss: by this metric, losses and depths are compared."""
        error = (self.reconstruct(batch.image) - batch.image).square().mean()
        self.log("val/score", error, batch_size=len(batch.image))

    # ---------------------------------------------------------------------------------------------------------- generation

    @torch.no_grad()
    def decode_codes(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Decode codes L of any class to images σ(f_dec(L)): (n, D) → (n, C, H, W) in [0, 1]."""
        if not len(codes):
            return codes.new_empty(0, *self.image_shape, dtype=torch.float32)
        parts = codes.to(next(self.parameters())).split(DECODED_AT_ONCE)
        return torch.cat([self.decoded(part, None) for part in parts])

    def decoded(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        return self.decoder(codes).float().sigmoid()

    @torch.no_grad()
    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the codes f_enc(X) of images of any class: (n, C, H, W) in [0, 1] → (n, D)."""
        return self.codes_of(images)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the reconstructions F(X): (n, C, H, W) in [0, 1] → the same."""
        return self.decode_codes(self.encode(images))


def squared_correlations(codes: Tensor) -> Tensor:
    """Return Σ_{i≠j} ρ_ij² over the units of codes (n, D); a constant unit has ρ = 0 with every other."""
    centred = codes - codes.mean(0)
    unit = centred / centred.norm(dim=0).clamp_min(1e-6)
    with torch.autocast(codes.device.type, enabled=False):  # the product is small, but needs full precision
        return (unit.T @ unit).fill_diagonal_(0).square().sum()
