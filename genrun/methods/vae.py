r"""Variational autoencoder: codes with a known distribution, and two networks that encode images and decode codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genrun.maths.divergences import kl_divergence
from genrun.maths.learning_rates import LearningRateSchedule
from genrun.maths.likelihoods import Likelihood
from genrun.maths.mixtures import Prior, StandardNormal
from genrun.maths.random_numbers import bernoulli, normal_like
from genrun.methods.code_prior import CodePriorMethod
from genrun.types import Batch

DECODED_AT_ONCE = 2048  # images


class VAE(CodePriorMethod):
    r"""Variational autoencoder ("Generative Imaging", sections 3.2.3 and 3.4.1).

        (μ, log σ²) = f_enc(x)                                            (8)
        z = μ + σ ⊙ ε,   σ = exp(½ log σ²),   ε ~ N(0, I)                  (10)
        x̄ = f_dec(z)                                                      (11)
        C_KL = -½ Σ_j (1 + log σ_j² - μ_j² - σ_j²)                         (32)
        C = -log p(x | z) + β C_KL                                         (33)

    With the likelihood `Gaussian` and its default deviation, -log p(x | z) is the squared error (31) on [-1, 1] plus a constant. The
    decoder of a conditional model sees z followed by the one-hot class; q(z | x) does not see the class.

    Args:
        image_shape: (C, H, W).
        num_classes: number of classes of the data.
        encoder: makes a network (n, C, H, W) on [-1, 1] → (n, 2·code_size), or (n, code_size) if σ is not learned, from (image_shape,
            outputs).
        decoder: makes a network (n, code_size [+ num_classes]) → (n, C, H, W) from (inputs, image_shape).
        likelihood: p(x | z), given the output of the decoder.
        optimizer: makes the optimizer from the parameters of both networks and of the likelihood.
        conditional: learn to draw images of given classes. None: if the data has labels.
        code_size: D, the length of z.
        beta: β; 1 makes -C a lower bound of log p(x).
        posterior_deviation: σ of q(z | x), the same for every image and unit; None: the encoder learns σ.
        prior: makes the distribution of the codes of samples from (classes, code_size). After training it is fitted to the codes μ of the
            training images, which are only roughly N(0, I). The bounds always use N(0, I).
        schedule: how the learning rate changes over the training; if it falls, the first 2 % are a warm-up.

    References:
        Kingma and Welling, Auto-encoding variational Bayes, 2014.
        Higgins et al., β-VAE, 2017. Burda et al., Importance weighted autoencoders, 2016 (the tighter bound).
        Ghosh et al., From variational to deterministic autoencoders, 2020 (a prior fitted afterwards; a constant σ: CV-VAE).
    """

    drawing_options = ("prior",)

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        likelihood: Likelihood,
        optimizer: Callable[..., torch.optim.Optimizer],
        prior: Callable[[int, int], Prior] = StandardNormal,
        conditional: bool | None = False,
        code_size: int = 32,
        beta: float = 1.0,
        posterior_deviation: float | None = None,
        schedule: LearningRateSchedule = "cosine",
    ) -> None:
        super().__init__(image_shape, self.classes(num_classes, conditional))
        for name, value, least in (("code_size", code_size, 1), ("beta", beta, 0)):
            if value < least:
                raise ValueError(f"model.{name}: expected at least {least}, got {value}")
        if posterior_deviation is not None and not 0 < posterior_deviation < math.inf:
            raise ValueError(
                f"model.posterior_deviation: expected a finite number above 0, or null, got {posterior_deviation}"
            )
        self.encoder = encoder(self.image_shape, code_size if posterior_deviation else 2 * code_size)
        self.decoder = decoder(code_size + self.num_classes, self.image_shape)
        self.likelihood = likelihood
        self.binary = likelihood.binary
        self.prior = prior(max(1, self.num_classes), code_size)
        self.optimizer, self.code_size, self.beta, self.schedule = optimizer, code_size, beta, schedule
        self.posterior_deviation = posterior_deviation

    decodes_by_class = True

    # --------------------------------------------------------------------------------------------------- the two networks

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return μ and log σ² of q(z | x), (8): (n, C, H, W) in [0, 1] → (n, D) each."""
        images = images.to(next(self.parameters()))
        output = self.encoder(2 * images - 1)
        if self.posterior_deviation:
            return output, torch.full_like(output, 2 * math.log(self.posterior_deviation))
        mean, log_variance = output.chunk(2, 1)
        return mean, log_variance

    def decode(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Return f_dec(z), the input of the likelihood: codes (n, D) → (n, C, H, W)."""
        if self.num_classes:
            codes = torch.cat([codes, F.one_hot(labels, self.num_classes).to(codes)], 1)
        return self.decoder(codes)

    # ------------------------------------------------------------------------------------------------------------ training

    def training_step(self, batch: Batch, _: int) -> Tensor:
        self.follow_schedule()
        images = bernoulli(batch.image) if self.binary else batch.image  # drawn again each time an image is seen
        mean, log_variance = self.posterior(images)
        codes = mean + (0.5 * log_variance).exp() * normal_like(mean)  # (10)
        reconstruction = -self.likelihood.log_prob(images, self.decode(codes, batch.label)).mean()
        divergence = kl_divergence(mean, log_variance).mean()
        self.track(reconstruction=reconstruction, divergence=divergence)
        return reconstruction + self.beta * divergence  # (33)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimizer(self.parameters())

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log the negative bound on held-out images, in nats, always with the same noise; a conditional model is given their labels."""
        generator = Generator(self.device).manual_seed(0)
        images = batch.image
        if self.binary:
            images = bernoulli(images, generator)
        # given the label in a conditional model: the sum over all classes would cost num_classes times as much
        labels = batch.label if self.num_classes else None
        self.log("val/score", -self.bound(images, labels, 1, generator).mean(), batch_size=len(images))

    # ---------------------------------------------------------------------------------------------------------- generation

    @torch.no_grad()
    def decode_codes(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Decode codes (n, D) to the expected images (n, C, H, W) in [0, 1].

        Raises:
            ValueError: labels are missing, or an unconditional model is given some.
        """
        self.check_labels(len(codes), labels)
        if not len(codes):
            return codes.new_empty(0, *self.image_shape, dtype=torch.float32)
        parts = codes.to(next(self.parameters())).split(DECODED_AT_ONCE)
        of_part = [None] * len(parts) if labels is None else labels.split(DECODED_AT_ONCE)
        return torch.cat([self.decoded(*both) for both in zip(parts, of_part, strict=True)])

    def decoded(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        return self.likelihood.mean(self.decode(codes, labels)).float()

    @torch.no_grad()
    def encode(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return μ of q(z | x), the codes of images: (n, C, H, W) in [0, 1] → (n, D)."""
        return self.posterior(images)[0]

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the expected images given μ: (n, C, H, W) in [0, 1] → the same.

        If a conditional model is given no labels, it takes the likeliest class of each image.
        """
        if self.num_classes and labels is None:
            labels = self.bounds_by_class(images, 1, Generator(self.device).manual_seed(0)).argmax(0)
        return self.decode_codes(self.encode(images), labels)

    # ---------------------------------------------------------------------------------------------------------- likelihood

    @torch.no_grad()
    def elbo(self, images: Tensor, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
        r"""Return a lower bound of log p(x) in nats: (n, C, H, W) → (n,).

        One sample: log p(x | z) - C_KL. K samples, with importance weights (Burda et al., (8)):

            log 1/K Σ_k p(x | z_k) p(z_k) / q(z_k | x),   z_k ~ q(z | x)

        A conditional model: log of the mean over the classes of the exponentials of the bounds.
        """
        if not self.num_classes:
            return self.bound(images, None, samples, generator)
        return self.bounds_by_class(images, samples, generator).logsumexp(0) - math.log(self.num_classes)

    @torch.no_grad()
    def bounds_by_class(self, images: Tensor, samples: int, generator: Generator | None) -> Tensor:
        """Return the bound of log p(x | y) for each class y: (num_classes, n)."""
        at = torch.zeros((), dtype=torch.long, device=self.device)
        seed = int(at.random_(2**31 - 1, generator=generator))
        bounds = []
        for label in range(self.num_classes):
            labels = torch.full((len(images),), label, device=images.device)
            # the same noise for all classes, so that only the classes differ
            same = Generator(self.device).manual_seed(seed)
            bounds.append(self.bound(images, labels, samples, same))
        return torch.stack(bounds)

    def bound(self, images: Tensor, labels: Tensor | None, samples: int, generator: Generator | None) -> Tensor:
        """Return the bound of log p(x), or of log p(x | y) for the labels (n,) of a conditional model, see `elbo`: (n,)."""
        mean, log_variance = self.posterior(images)
        if samples == 1:
            codes = mean + (0.5 * log_variance).exp() * normal_like(mean, generator)
            return self.likelihood.log_prob(images, self.decode(codes, labels)) - kl_divergence(mean, log_variance)
        total = images.new_full((len(images),), -math.inf, dtype=torch.float64)
        at_once = max(1, DECODED_AT_ONCE // len(images))
        for start in range(0, samples, at_once):
            k = min(at_once, samples - start)
            noise = normal_like(mean.expand(k, -1, -1), generator)  # (k, n, D)
            codes = mean + (0.5 * log_variance).exp() * noise
            of_code = None if labels is None else labels.repeat(k)
            output = self.decode(codes.flatten(0, 1), of_code).unflatten(0, (k, len(images)))
            # log p(z) - log q(z | x) = ½ Σ_j log σ_j² + ε_j² - z_j²
            weight = 0.5 * (log_variance + noise.square() - codes.square()).sum(2)
            terms = (self.likelihood.log_prob(images, output) + weight).double()
            total = torch.logaddexp(total, terms.logsumexp(0))
        return total - math.log(samples)
