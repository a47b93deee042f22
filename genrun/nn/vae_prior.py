"""A prior of codes that is a variational autoencoder itself: the second stage of the two-stage VAE."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genrun.maths.divergences import kl_divergence
from genrun.maths.mixtures import Prior, Progress
from genrun.nn.prior_training import SEED, train


class VAEPrior(Prior):
    r"""A variational autoencoder of the codes z, with as many units u as a code has.

        p(u) = N(0, I),   p(z | u, y) = N(z; f_dec(u, y), γ² I),   q(u | z, y) = N(u; μ(z, y), σ²(z, y))
        C = -log p(z | u, y) + KL(q(u | z, y) ‖ N(0, I)),   γ is learned

    The codes of a VAE fill the space, as its noise does, but are not N(0, I). So a second VAE on them has no manifold to find and can
    make its own codes N(0, I). A sample is z = f_dec(u, y) + γ ε with u, ε ~ N(0, I). Each network has `depth` hidden layers with ReLU, and
    its last layer also sees its input. Codes are moved to the mean 0 and divided by one number, so that their mean variance is 1. The
    paper trains on z ~ q(z | x); here the codes of images are the means of q(z | x). Training starts from freshly drawn weights and uses
    random numbers of its own, always the same ones.

    Args:
        num_classes, size: see `Prior`; with more than one class the networks also see the one-hot class.
        width, depth: units of a hidden layer, and number of hidden layers.
        epochs: how often the training goes over the codes.
        batch_size: codes in a step.
        lr: learning rate of Adam, which falls to 0 (the paper halves 0.0001 after every 300 of 800 epochs).

    References:
        Dai and Wipf, Diagnosing and enhancing VAE models, 2019, section 4 and appendix.
    """

    def __init__(
        self,
        num_classes: int,
        size: int,
        width: int = 512,
        depth: int = 3,
        epochs: int = 20,
        batch_size: int = 256,
        lr: float = 0.001,
    ) -> None:
        super().__init__(num_classes, size)
        for name, value in (("width", width), ("depth", depth), ("epochs", epochs), ("batch_size", batch_size)):
            if value < 1:
                raise ValueError(f"model.prior.{name}: expected at least 1, got {value}")
        if not 0 < lr < math.inf:
            raise ValueError(f"model.prior.lr: expected a finite number above 0, got {lr}")
        self.epochs, self.batch_size, self.lr = epochs, batch_size, lr
        self.label_size = num_classes if num_classes > 1 else 0  # length of the one-hot class that the networks see
        self.encoder = SkipMLP(size + self.label_size, 2 * size, width, depth)
        self.decoder = SkipMLP(size + self.label_size, size, width, depth)
        self.log_gamma = nn.Parameter(torch.zeros(()))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))
        self.requires_grad_(False)  # the training of the method does not move it

    def check(self, labels: Tensor) -> None:
        if len(labels) < 2:
            raise ValueError(f"a prior that is a VAE needs at least 2 codes, got {len(labels)} (data.limit)")

    def fit_roughly(self, codes: Tensor, labels: Tensor) -> None:
        """Take over the mean of all codes and their mean variance: until `fit`, samples are from this one Gaussian."""
        self.fitted.fill_(False)
        codes = codes.detach().double()
        self.mean.copy_(codes.mean(0))
        self.scale.copy_(codes.var(0, correction=0).mean().sqrt().clamp_min(1e-6))

    def fit(self, codes: Tensor, labels: Tensor, *, progress: Progress | None = None) -> None:
        self.check(labels)
        if not codes.isfinite().all():
            raise ValueError("codes must be finite, got NaN or Inf")
        self.fit_roughly(codes, labels)
        codes, labels = ((codes.to(self.mean) - self.mean) / self.scale).detach(), labels.to(self.mean.device)
        generator = Generator().manual_seed(SEED)
        self.initialise(generator)
        batches = self.batches(codes, labels, generator)
        self.requires_grad_(True)
        train(
            torch.optim.Adam(self.parameters(), self.lr),
            lambda: -self.bound(*next(batches), generator).mean(),
            passes=self.epochs,
            steps=math.ceil(len(codes) / self.batch_size),
            progress=progress,
        )
        self.requires_grad_(False)
        self.fitted.fill_(True)

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Draw the weights of both networks, see `SkipMLP`; γ = 1."""
        self.log_gamma.zero_()
        for network in (self.encoder, self.decoder):
            network.initialise(generator)

    def batches(self, codes: Tensor, labels: Tensor, generator: Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield codes and labels of the batches of one pass after the other, each in an order of its own."""
        while True:
            for part in torch.randperm(len(codes), generator=generator).to(codes.device).split(self.batch_size):
                yield codes[part], labels[part]

    def bound(self, codes: Tensor, labels: Tensor, generator: Generator | None = None) -> Tensor:
        """Return the bound -C of log p of scaled codes (n, D) with one draw of u, in nats: (n,).

        Args:
            generator: of the CPU, so that training draws the same numbers on every device.
        """
        mean, log_variance = self.encoder(self.with_class(codes, labels)).chunk(2, 1)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype).to(mean.device)
        u = mean + (0.5 * log_variance).exp() * noise
        squares = (codes - self.decoder(self.with_class(u, labels))).square().sum(1)
        constant = self.size * (self.log_gamma + 0.5 * math.log(2 * math.pi))
        return -0.5 * squares * (-2 * self.log_gamma).exp() - constant - kl_divergence(mean, log_variance)

    def with_class(self, values: Tensor, labels: Tensor) -> Tensor:
        """Return values (n, D) followed by the one-hot class, if there is more than one."""
        return torch.cat([values, F.one_hot(labels, self.label_size).to(values)], 1) if self.label_size else values

    @torch.no_grad()
    def sample(self, labels: Tensor, *, generator: Generator | None = None) -> Tensor:
        shape = 2, len(labels), self.size
        u, noise = torch.randn(shape, generator=generator, device=self.mean.device, dtype=self.mean.dtype)
        if not self.fitted:
            return self.mean + self.scale * u
        return self.mean + self.scale * (self.decoder(self.with_class(u, labels)) + self.log_gamma.exp() * noise)


class SkipMLP(nn.Module):
    """Hidden layers with ReLU, then a linear layer that sees them and the input: (n, inputs) → (n, outputs).

    All weights are zero until `initialise`. No random number of the global stream is used.
    """

    def __init__(self, inputs: int, outputs: int, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for fan_in in (inputs, *[width] * (depth - 1)):
            layers += [nn.utils.skip_init(nn.Linear, fan_in, width), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        self.last = nn.utils.skip_init(nn.Linear, inputs + width, outputs)
        for weight in self.parameters():
            nn.init.zeros_(weight)

    @torch.no_grad()
    def initialise(self, generator: Generator) -> None:
        """Draw W ~ N(0, 2/fan_in) in hidden layers (He et al., 2015), N(0, 1/(3 fan_in)) in the last one; biases are zero."""
        for layer in (*self.hidden[::2], self.last):
            variance = (1 / 3 if layer is self.last else 2) / layer.in_features
            drawn = torch.randn(layer.weight.shape, generator=generator, dtype=layer.weight.dtype)
            layer.weight.copy_(variance**0.5 * drawn)
            layer.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([x, self.hidden(x)], 1))
