"""A prior of codes: a mixture of Gaussians, and a flow by a small network that corrects it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genrun.maths.mixtures import ClassMixture, Prior, Progress, products_of
from genrun.nn.embedding import Sinusoids
from genrun.nn.prior_training import SEED, train

TIMES = 64  # numbers that describe a time and a component
FASTEST = 8.0  # radians of the fastest sinusoid for each radian of θ


class Velocity(nn.Module):
    """The velocity of a flow of codes: a residual perceptron, which is zero until it is trained.

        c = a(W_θ s(θ) + E_i),   h = W_in u,   h ← h + W₂ (γ ⊙ a(W₁ h + β)) in each block,   v = W_out h

    with sinusoids s, SiLU a, and β = W_β c, γ = W_γ c for each block. No random number of the global stream is used.

    Args:
        components: number of components i.
        size: D, the length of a code.
        width: length of h.
        blocks: number of blocks.

    Shape: u (n, D), θ (n,) in [0, π/2], i (n,) int64 → v (n, D).
    """

    def __init__(self, components: int, size: int, width: int, blocks: int) -> None:
        super().__init__()

        def linear(fan_in: int, fan_out: int) -> nn.Linear:
            return nn.utils.skip_init(nn.Linear, fan_in, fan_out)

        self.sinusoids = Sinusoids(TIMES)
        self.of_time = linear(TIMES, TIMES)
        self.of_component = nn.utils.skip_init(nn.Embedding, components, TIMES)
        self.into = linear(size, width)
        self.first = nn.ModuleList(linear(width, width) for _ in range(blocks))
        self.condition = nn.ModuleList(linear(TIMES, 2 * width) for _ in range(blocks))
        self.second = nn.ModuleList(linear(width, width) for _ in range(blocks))
        self.out = linear(width, size)
        self.clear()

    def clear(self) -> None:
        """Set all weights to zero."""
        for weight in self.parameters():
            nn.init.zeros_(weight)

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Draw W ~ N(0, 1/fan_in) and E ~ N(0, 1); biases and W_out are zero, so that v is zero at first."""
        self.clear()
        for layer in (self.of_time, self.of_component, self.into, *self.first, *self.condition, *self.second):
            fan_in = layer.in_features if isinstance(layer, nn.Linear) else 1
            layer.weight.copy_(fan_in**-0.5 * torch.randn(layer.weight.shape, generator=generator))

    def forward(self, u: Tensor, theta: Tensor, i: Tensor) -> Tensor:
        c = F.silu(self.of_time(self.sinusoids(FASTEST * theta).to(u)) + self.of_component(i))
        h = self.into(u)
        for first, condition, second in zip(self.first, self.condition, self.second, strict=True):
            beta, gamma = condition(c).chunk(2, 1)
            h = h + second(gamma * F.silu(first(h) + beta))
        return self.out(h)


class CodeFlow(Prior):
    r"""A mixture of Gaussians for each class, whose components are corrected by a flow.

    Each component of a `ClassMixture` places standard normal noise ε by L = μ_i + F_i ε. Here a flow moves ε first:

        u(0) = ε ~ N(0, I),   du/dθ = v(u, θ, i) for θ from 0 to π/2,   L = μ_i + F_i u(π/2)

    v is trained by flow matching on the trigonometric path from noise to a code x that is whitened by a component, x = F_i⁻¹(L - μ_i),
    with i drawn from p(i | L):

        u = cos θ ε + sin θ x,   loss = |v(u, θ, i) - (cos θ x - sin θ ε)|²

    For codes that are exactly such a mixture the best v is zero, so a flow without training is the mixture, and training spends
    itself on what the mixture misses. Training uses random numbers of its own, always the same ones.

    Args:
        num_classes, size: see `Prior`.
        components: number of Gaussians of all classes together; each class gets an equal share, at least one.
        reg_covar: see `ClassMixture`.
        width, blocks: of the network, see `Velocity`.
        passes: number of passes over the codes in training; 0: only the mixture. More passes over few codes would memorise them.
        batch_size: codes in a training step.
        lr: learning rate of AdamW at its highest; it rises during the first 2 % and then falls to zero as a cosine.
        averaging: decay of the moving average of the weights, which is what is kept.
        steps: steps of the midpoint rule from noise to a code.

    References:
        Lipman et al., Flow matching for generative modeling, 2023 (the loss).
        Albergo and Vanden-Eijnden, Building normalizing flows with stochastic interpolants, 2023, arXiv 2209.15571 (the path).
    """

    def __init__(
        self,
        num_classes: int,
        size: int,
        components: int = 100,
        reg_covar: float = 1e-4,
        width: int = 256,
        blocks: int = 3,
        passes: int = 20,
        batch_size: int = 512,
        lr: float = 2e-3,
        averaging: float = 0.995,
        steps: int = 5,
    ) -> None:
        super().__init__(num_classes, size)
        counts = {"components": components, "width": width, "blocks": blocks, "batch_size": batch_size, "steps": steps}
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"model.prior.{name}: expected at least 1, got {value}")
        if passes < 0:
            raise ValueError(f"model.prior.passes: expected at least 0, got {passes}")
        if not 0 < lr < math.inf:
            raise ValueError(f"model.prior.lr: expected a finite number above 0, got {lr}")
        if not 0 <= averaging < 1:
            raise ValueError(f"model.prior.averaging: expected at least 0 and less than 1, got {averaging}")
        self.passes, self.batch_size, self.lr, self.averaging, self.steps = passes, batch_size, lr, averaging, steps
        self.components = max(1, components // num_classes)  # K, of each class
        self.mixture = ClassMixture(num_classes, size, self.components, reg_covar=reg_covar)
        # without gradients, because the optimizer of the method has no part in it
        self.velocity = Velocity(num_classes * self.components, size, width, blocks).requires_grad_(False)

    # -------------------------------------------------------------------------------------------------------------- fit

    def check(self, labels: Tensor) -> None:
        self.mixture.check(labels)

    def fit(self, codes: Tensor, labels: Tensor, *, progress: Progress | None = None) -> None:
        self.mixture.fit(codes, labels, progress=progress)
        codes, labels = codes.detach().to(self.mixture.means), labels.to(self.mixture.means.device)
        generator = Generator().manual_seed(SEED)
        self.velocity.initialise(generator)
        kept, network = self.velocity, copy.deepcopy(self.velocity).requires_grad_()
        optimizer = torch.optim.AdamW(network.parameters(), self.lr, betas=(0.9, 0.99), weight_decay=0.01)
        batches = self.batches(codes, labels, generator)

        def loss() -> Tensor:
            u, theta, i, target = next(batches)
            return (network(u, theta, i) - target).square().mean()

        def keep(step: int) -> None:
            decay = min(self.averaging, (step + 1) / (step + 10))  # the first weights are forgotten sooner
            for average, weight in zip(kept.parameters(), network.parameters(), strict=True):
                average.lerp_(weight.detach(), 1 - decay)

        steps = math.ceil(len(codes) / self.batch_size)
        train(optimizer, loss, passes=self.passes, steps=steps, after_step=keep, progress=progress)

    def batches(
        self, codes: Tensor, labels: Tensor, generator: Generator
    ) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """Yield u (B, D), θ (B,), i (B,) and the target of v (B, D) of each training step, for codes (N, D) and labels (N,)."""
        n, device = min(self.batch_size, len(codes)), codes.device
        whitening = torch.linalg.inv(self.mixture.factors)  # F⁻¹, (classes, K, D, D)
        responsibilities = self.mixture.responsibilities(codes, labels).cpu()  # p(i | L), (N, K)
        while True:
            which = torch.randint(len(codes), (n,), generator=generator)
            component = torch.multinomial(responsibilities[which], 1, generator=generator).squeeze(1).to(device)
            noise = torch.randn(n, self.size, generator=generator).to(codes)
            # one time in each of n equal parts of [0, π/2]: the loss varies less than with independent times
            theta = (math.pi / 2 * (torch.arange(n) + torch.rand(n, generator=generator)) / n).to(codes)
            label = labels[which.to(device)]
            apart = codes[which.to(device)] - self.mixture.means[label, component]
            x = products_of(whitening, apart, label, component)
            cos, sin = theta.cos().unsqueeze(1), theta.sin().unsqueeze(1)
            yield cos * noise + sin * x, theta, label * self.components + component, cos * x - sin * noise

    def fit_roughly(self, codes: Tensor, labels: Tensor) -> None:
        self.mixture.fit_roughly(codes, labels)
        self.velocity.clear()

    # ------------------------------------------------------------------------------------------------------ distribution

    def sample(self, labels: Tensor, *, generator: Generator | None = None) -> Tensor:
        like = self.mixture.means
        noise = torch.randn(len(labels), self.size, generator=generator, device=like.device, dtype=like.dtype)
        return self.placed(noise, labels, self.mixture.drawn_component(labels, generator))

    def not_from_noise(self) -> None:
        return None

    def mixes(self) -> bool:
        return self.mixture.mixes()

    def from_noise(self, noise: Tensor, labels: Tensor, uniform: Tensor | None = None) -> Tensor:
        return self.placed(noise, labels, self.mixture.component_at(labels, uniform))

    def placed(self, noise: Tensor, labels: Tensor, component: Tensor) -> Tensor:
        """Move noise (n, D) from N(0, I) along the flow, then to these components (n,) of the classes (n,)."""
        u, i, step = noise, labels * self.components + component, math.pi / 2 / self.steps
        for number in range(self.steps):
            theta = torch.full_like(u[:, 0], number * step)
            half = u + step / 2 * self.velocity(u, theta, i)
            u = u + step * self.velocity(half, theta + step / 2, i)
        return self.mixture.placed(u, labels, component)
