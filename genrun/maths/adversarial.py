"""Adversarial losses of a generator and a discriminator, computed from the discriminator's logits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Adversarial:
    """A pair of losses, for the discriminator and for the generator. A large logit means: the discriminator takes the image for real.

    Attributes:
        weight: weight of the gradient penalty; 0: there is no penalty.
        needs_errors: the logits must be minus the errors of an autoencoder; such a discriminator has `gives_errors = True`.
        relativistic: the generator's loss compares generated images with real ones, so it needs the logits of both.
    """

    weight = 0.0
    needs_errors = False
    relativistic = False

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of the discriminator: logits (B,) of real and of generated images → a scalar."""
        raise NotImplementedError

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """Return the loss of the generator: logits (B,) of generated and, if `relativistic`, of real images, else None → a scalar."""
        raise NotImplementedError

    def penalty(self, discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor | None:
        """Return the gradient penalty, a further term of the discriminator's loss, from images (B, C, H, W); None if there is none."""
        return None


class NonSaturating(Adversarial):
    r"""Binary cross-entropy with D = σ(logit) ("Generative Imaging", (27) to (30)).

        C_D = -½ (mean log D(x) + mean log(1 - D(x̄))) + γ/2 mean ‖∇ logit(x)‖²,   C_G = -mean log D(x̄)

    Args:
        weight: γ, weight of the penalty on the gradient at real images (R1); 0: no penalty.

    References:
        Goodfellow et al., Generative adversarial nets, 2014.
        Mescheder, Geiger and Nowozin, Which training methods for GANs do actually converge?, 2018, (9).
    """

    def __init__(self, weight: float = 0.0) -> None:
        self.weight = weight

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return F.softplus(-fake).mean()

    def penalty(self, discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor | None:
        if not self.weight:
            return None
        real = real.detach().requires_grad_()
        return self.weight / 2 * input_gradients(discriminate, real).square().sum(1).mean()


class DRAGAN(NonSaturating):
    r"""The losses of `NonSaturating`, with a penalty on the gradient near real images.

        C_D + λ mean (‖∇ logit(x̂)‖ - 1)²,   x̂ = x + α ½ s u,   α ~ U[0, 1] for each image, u ~ U[0, 1] for each pixel

    s is the standard deviation of all values in the batch. The paper has δ ~ N(0, cI) in place of α ½ s u, which is what its authors' code
    and the comparison of Lucic et al. draw. C_D is half of the sum of the paper, so that its λ = 10 is 5 here.

    Args:
        weight: λ.

    References:
        Kodali et al., On convergence and stability of GANs, 2017 (arXiv 1705.07215), the objective of DRAGAN.
    """

    def __init__(self, weight: float = 5.0) -> None:
        super().__init__(weight)

    def penalty(self, discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        real = real.detach()
        at = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
        near = (real + at * 0.5 * real.std() * torch.rand_like(real)).requires_grad_()
        return self.weight * (input_gradients(discriminate, near).norm(dim=1) - 1).square().mean()


class LeastSquares(Adversarial):
    r"""C_D = ½ (mean (D(x) - 1)² + mean D(x̄)²),   C_G = ½ mean (D(x̄) - 1)².

    References:
        Mao et al., Least squares generative adversarial networks, 2017, (9).
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return ((real - 1).square().mean() + fake.square().mean()) / 2

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return (fake - 1).square().mean() / 2


class Hinge(Adversarial):
    r"""C_D = mean max(0, 1 - D(x)) + mean max(0, 1 + D(x̄)),   C_G = -mean D(x̄).

    References:
        Lim and Ye, Geometric GAN, 2017; Miyato et al., Spectral normalization for generative adversarial networks, 2018, (17).
    """

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -fake.mean()


class Wasserstein(Adversarial):
    r"""C_D = mean D(x̄) - mean D(x) + λ mean (‖∇D(x̂)‖ - 1)²,   C_G = -mean D(x̄),   x̂ on the line between x and x̄.

    Args:
        weight: λ, weight of the gradient penalty.

    References:
        Gulrajani et al., Improved training of Wasserstein GANs, 2017, algorithm 1.
    """

    def __init__(self, weight: float = 10.0) -> None:
        self.weight = weight

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -fake.mean()

    def penalty(self, discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        at = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
        between = torch.lerp(real, fake.to(real), at).requires_grad_()
        return self.weight * (input_gradients(discriminate, between).norm(dim=1) - 1).square().mean()


class Relativistic(Adversarial):
    r"""Each generated image is compared with a real one, and the gradient is penalised at both (R3GAN).

        C_D = mean log(1 + exp(D(x̄) - D(x))) + γ/2 mean (‖∇D(x)‖² + ‖∇D(x̄)‖²),   C_G = mean log(1 + exp(D(x) - D(x̄)))

    Args:
        weight: γ, weight of the penalties on the gradient at real (R1) and at generated images (R2).

    References:
        Huang et al., The GAN is dead; long live the GAN!, 2024 (arXiv 2501.05441), (2) to (5).
        Jolicoeur-Martineau, The relativistic discriminator, 2019.
    """

    relativistic = True

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(fake - real).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return F.softplus(real - fake).mean()

    def penalty(self, discriminate: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor | None:
        if not self.weight:
            return None
        at_each = (image.detach().requires_grad_() for image in (real, fake))
        return sum(self.weight / 2 * input_gradients(discriminate, image).square().sum(1).mean() for image in at_each)


class BoundaryEquilibrium(Adversarial, nn.Module):
    r"""The losses of a discriminator that is an autoencoder: its logit is minus its error L (`genrun.nn.conv.ConvAutoencoder`).

        C_D = L(x) - k L(x̄),   C_G = L(x̄),   k ← k + λ (γ L(x) - L(x̄)), kept in [0, 1]

    k is 0 at first, is saved with the weights, and moves in each step of the discriminator.

    Args:
        gamma: γ = L(x̄)/L(x) in equilibrium; a lower one gives less diverse images.
        rate: λ, the rate of k.

    References:
        Berthelot, Schumm and Metz, BEGAN: boundary equilibrium generative adversarial networks, 2017, section 3.4.
    """

    needs_errors = True

    def __init__(self, gamma: float = 0.75, rate: float = 0.001) -> None:
        super().__init__()
        if not 0 < gamma <= 1 or not 0 < rate < 1:
            raise ValueError(f"model.loss: expected gamma in (0, 1] and a rate in (0, 1), got {gamma} and {rate}")
        self.gamma, self.rate = gamma, rate
        self.register_buffer("k", torch.zeros(()))

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        of_real, of_fake = -real.mean(), -fake.mean()  # L(x), L(x̄)
        loss = of_real - self.k * of_fake
        with torch.no_grad():
            self.k = (self.k + self.rate * (self.gamma * of_real - of_fake)).clamp(0, 1).to(self.k)
        return loss

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -fake.mean()


def input_gradients(discriminate: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the gradient of each image's logit by its values: (B, C, H, W) → (B, C·H·W). It can be differentiated again."""
    (gradient,) = torch.autograd.grad(discriminate(images).sum(), images, create_graph=True)
    return gradient.flatten(1)
