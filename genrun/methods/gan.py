r"""Generative adversarial network: a generator learns from a discriminator, which learns to tell generated images from real ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genrun.maths.adversarial import Adversarial
from genrun.maths.learning_rates import LearningRateSchedule, rate_share
from genrun.methods.method import Method
from genrun.types import Batch, Program


class GAN(Method):
    r"""Generative adversarial network ("Generative Imaging", sections 3.2.2 and 3.4.1).

        min_G max_D E log D(x) + E log(1 - D(G(z))),   z ~ N(0, I)          (7)

    The losses of G and D are (27) to (30), or another pair. G ends in tanh, and D sees images on [-1, 1]. A conditional G sees z followed
    by the one-hot class. A conditional D has one output for "real" and one for each class; the logit of an image of class y is the sum of
    the first output and that of y (a projection on the class, Miyato and Koyama, 2018). Or D also learns to classify (AC-GAN): the logit is
    the first output alone, the others are logits of the classes, and both losses get a term, over real and generated images for D and over
    generated ones for G,

        C_D + w (-mean log P(y | x) - mean log P(y | x̄)),   C_G - w mean log P(y | x̄)

    Args:
        image_shape: (C, H, W).
        num_classes: number of classes of the data.
        generator: makes a network (n, code_size [+ num_classes]) → (n, C, H, W), before tanh, from (inputs, image_shape).
        discriminator: makes a network (n, C, H, W) on [-1, 1] → (n, 1 [+ num_classes]) from (image_shape, outputs).
        loss: the losses of D and of G.
        optimizer: makes the optimizer from the parameters of G.
        discriminator_optimizer: makes the optimizer from the parameters of D.
        conditional: learn to draw images of given classes. None: if the data has labels.
        auxiliary: w, the weight of the classification in both losses (AC-GAN); 0: a conditional D projects on the class.
        code_size: the length of z.
        critic_steps: steps of D in each batch; the last one and the step of G use the same generated images.
        penalty_every: k; if the loss has a gradient penalty, it is added in every k-th batch only, with k times its weight (Karras et al.,
            2020).
        schedule: how both learning rates change over the training.
        truncation: ψ; samples are decoded from codes ψ z. Below 1, the codes are nearer to the middle, where G has seen more of them (after
            Brock et al., 2019, who cut the tails of the normal distribution).

    References:
        Goodfellow et al., Generative adversarial nets, 2014.
        Brock, Donahue and Simonyan, Large scale GAN training for high fidelity natural image synthesis, 2019, section 3.1.
        Odena, Olah and Shlens, Conditional image synthesis with auxiliary classifier GANs, 2017, (2) and (3).
        Karras et al., Analyzing and improving the image quality of StyleGAN, 2020, appendix B (the lazy penalty).
        Radford et al., Unsupervised representation learning with deep convolutional GANs, 2016 (DCGAN).
    """

    drawing_options = ("truncation",)
    best_by = "judge/frechet"

    def __init__(
        self,
        image_shape: Sequence[int],
        num_classes: int,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        loss: Adversarial,
        optimizer: Callable[..., torch.optim.Optimizer],
        discriminator_optimizer: Callable[..., torch.optim.Optimizer],
        conditional: bool | None = False,
        code_size: int = 100,
        critic_steps: int = 1,
        penalty_every: int = 1,
        schedule: LearningRateSchedule = "constant",
        truncation: float = 1.0,
        auxiliary: float = 0.0,
    ) -> None:
        super().__init__(image_shape, self.classes(num_classes, conditional))
        for name, value in (
            ("code_size", code_size),
            ("critic_steps", critic_steps),
            ("penalty_every", penalty_every),
        ):
            if value < 1:
                raise ValueError(f"model.{name}: expected at least 1, got {value}")
        if truncation <= 0:
            raise ValueError(f"model.truncation: expected more than 0, got {truncation}")
        if auxiliary < 0 or (auxiliary and not self.num_classes):
            raise ValueError(
                f"model.auxiliary={auxiliary}: expected 0, or more with labels (data that has some, and not model.conditional=false)"
            )
        self.automatic_optimization = False  # two optimizers
        self.generator = generator(code_size + self.num_classes, self.image_shape)
        self.discriminator = discriminator(self.image_shape, 1 + self.num_classes)
        self.loss, self.code_size, self.schedule = loss, code_size, schedule
        self.critic_steps, self.penalty_every = critic_steps, penalty_every
        self.truncation, self.auxiliary = truncation, auxiliary
        self.optimizer, self.discriminator_optimizer = optimizer, discriminator_optimizer

    def check_options(self) -> None:
        if getattr(self.loss, "needs_errors", False) and not getattr(self.discriminator, "gives_errors", False):
            raise ValueError(
                "model/loss: expected model/discriminator=autoencoder for this loss, or another discriminator with `gives_errors = True`, "
                f"got {type(self.discriminator).__name__}"
            )

    # --------------------------------------------------------------------------------------------------- the two networks

    def generate(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Return the images that G makes of codes: (n, code_size) → (n, C, H, W) on [-1, 1]."""
        if self.num_classes:
            codes = torch.cat([codes, F.one_hot(labels, self.num_classes).to(codes)], 1)
        return self.generator(codes).tanh()

    def discriminate(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Return the logits of D, before its sigmoid: images (n, C, H, W) on [-1, 1] → (n,)."""
        return self.logits(self.discriminator(images), labels)

    def logits(self, outputs: Tensor, labels: Tensor | None) -> Tensor:
        """Return the logits (n,) from the outputs of D's network (n, 1 [+ num_classes])."""
        if not self.num_classes or self.auxiliary:
            return outputs[:, 0]
        return outputs[:, 0] + outputs[:, 1:].gather(1, labels.unsqueeze(1))[:, 0]

    def class_error(self, outputs: Tensor, labels: Tensor) -> Tensor | float:
        """Return -w mean log P(y | x) from the outputs of D's network, (n, 1 + num_classes); 0 without the classification."""
        return self.auxiliary * F.cross_entropy(outputs[:, 1:], labels) if self.auxiliary else 0.0

    # ------------------------------------------------------------------------------------------------------------ training

    def training_step(self, batch: Batch, _: int) -> None:
        real, labels = 2 * batch.image - 1, batch.label
        # only the optimizer of G is wrapped by Lightning, so that a batch counts as one step
        of_generator, of_discriminator = self.optimizers()[0], self.optimizers(use_pl_optimizer=False)[1]
        for optimizer in (of_generator, of_discriminator):
            self.set_rates(optimizer, rate_share(self.schedule, self.progress()))
        for _ in range(self.critic_steps):
            codes = torch.randn(len(real), self.code_size, device=self.device, dtype=real.dtype)
            fake = self.generate(codes, labels)
            loss_d = self.descend_discriminator(of_discriminator, real, fake.detach(), labels)
        loss_g = self.descend_generator(of_generator, fake, real, labels)
        self.track(discriminator=loss_d, generator=loss_g)

    def descend_discriminator(
        self, optimizer: torch.optim.Optimizer, real: Tensor, fake: Tensor, labels: Tensor
    ) -> Tensor:
        """Train D for one step on real and generated images (B, C, H, W), (29); return its loss."""
        # two separate passes: so a batch norm in D sees only real or only generated images, as in the step of G
        of_real, of_fake = self.discriminator(real), self.discriminator(fake)
        loss = self.loss.discriminator(self.logits(of_real, labels), self.logits(of_fake, labels))
        loss = loss + self.class_error(of_real, labels) + self.class_error(of_fake, labels)
        if self.global_step % self.penalty_every == 0:
            penalty = self.loss.penalty(lambda images: self.discriminate(images, labels), real, fake)
            if penalty is not None:
                loss = loss + self.penalty_every * penalty
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return loss

    def descend_generator(self, optimizer: torch.optim.Optimizer, fake: Tensor, real: Tensor, labels: Tensor) -> Tensor:
        """Train G for one step on its images (B, C, H, W), (30), with D as it is after its own step; return the loss."""
        self.discriminator.requires_grad_(False)  # D's gradient is not needed here
        of_real = self.discriminate(real, labels) if self.loss.relativistic else None
        outputs = self.discriminator(fake)
        loss = self.loss.generator(self.logits(outputs, labels), of_real) + self.class_error(outputs, labels)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.discriminator.requires_grad_(True)
        return loss

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
        return (
            self.optimizer(self.generator.parameters()),
            self.discriminator_optimizer(self.discriminator.parameters()),
        )

    def validation_step(self, batch: Batch, _: int) -> None:
        """Do nothing: neither loss says how good the images are. This hook exists because averaged weights need a validation."""

    def not_compiled(self) -> str | None:
        if self.loss.weight:
            return (
                "a gradient penalty (model.loss.weight) needs second derivatives, which torch.compile does not support"
            )
        return super().not_compiled()

    # ---------------------------------------------------------------------------------------------------------- generation

    def sample(self, n: int, labels: Tensor | None = None, *, generator: Generator | None = None) -> Tensor:
        self.check_labels(n, labels)
        codes = torch.randn(n, self.code_size, generator=generator, device=self.device)
        return self.decode_codes(self.truncation * codes, labels)

    @torch.no_grad()
    def decode_codes(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Decode codes (n, code_size) to images (n, C, H, W) in [0, 1].

        Raises:
            ValueError: labels are missing, or an unconditional model is given some.
        """
        self.check_labels(len(codes), labels)
        if not len(codes):
            return codes.new_empty(0, *self.image_shape)
        codes = codes.to(next(self.generator.parameters()))
        return ((1 + self.generate(codes, labels)) / 2).float()

    def exported_program(self) -> Program:
        """Return the generator, with `truncation`, as a function of noise (n, code_size); see `genrun.types.Exports`."""
        inputs = {"noise": torch.randn(2, self.code_size)}
        if self.num_classes:
            inputs["labels"] = torch.zeros(2, dtype=torch.long)
        return Program(FromNoise(self), inputs)


class FromNoise(nn.Module):
    """The way of a GAN from noise to images."""

    def __init__(self, gan: GAN) -> None:
        super().__init__()
        self.method = gan

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images (n, C, H, W) in [0, 1] from noise (n, code_size) and labels (n,)."""
        return ((1 + self.method.generate(self.method.truncation * noise, labels)) / 2).float()
