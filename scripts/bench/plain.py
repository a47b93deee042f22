"""The plainest torch loops that train the networks of genrun's methods: 32 bits, Adam (RBM: SGD), nothing around them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from genrun.data.images import Stored
from genrun.maths.ssim import structural_similarity
from genrun.methods.autoencoder import Autoencoder
from genrun.methods.csgm import CSGM, by_pixel
from genrun.methods.ddpm import DDPM
from genrun.methods.gan import GAN
from genrun.methods.method import Method
from genrun.methods.rbm import RBM
from genrun.methods.regene import ReGene
from genrun.methods.vae import VAE
from genrun.types import Batch
from scripts.bench.tiny import TinyClassifier

Step = Callable[[Batch], None]
Network = Callable[[Tensor, Tensor, Tensor], Tensor]  # images (B, C, H, W), times (B,), labels (B,) → (B, C, H, W)


def loader_of(images: Stored, batch_size: int) -> DataLoader:
    """Return a DataLoader over arrays in memory, which most code takes; the images are converted here, once."""
    data = TensorDataset(images.array.float().div(255), images.labels, torch.arange(len(images)))
    return DataLoader(data, batch_size, shuffle=True)


def by_loader(loader: DataLoader) -> Iterator[Batch]:
    """Yield the batches of an epoch of `loader_of`."""
    for batch in loader:
        yield Batch(*batch)


def by_index(images: Stored, batch_size: int) -> Iterator[Batch]:
    """Yield the batches of an epoch as fast as a hand-written loop can: shuffle, split, convert."""
    for index in torch.randperm(len(images)).split(batch_size):
        yield Batch(images.array[index].float().div(255), images.labels[index], index)


def epoch_rate(step: Step, batches: Iterator[Batch]) -> float:
    """Return the images a second of an epoch."""
    started, count = time.perf_counter(), 0
    for batch in batches:
        step(batch)
        count += len(batch.image)
    return count / (time.perf_counter() - started)


def descending(parameters: list[Tensor], loss_of: Callable[[Batch], Tensor]) -> Step:
    """Return a step of Adam on a loss."""
    optimizer = torch.optim.Adam(parameters)

    def step(batch: Batch) -> None:
        loss = loss_of(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def classifier_step(method: TinyClassifier) -> Step:
    """Return a step of the small classifier."""
    network = method.network
    return descending(
        list(network.parameters()), lambda batch: F.cross_entropy(network(batch.image.flatten(1)), batch.label)
    )


def rbm_step(method: RBM) -> Step:
    """Return a step of persistent contrastive divergence, with gradients of the free energy by autograd."""
    optimizer = torch.optim.SGD([method.W, method.b_v, method.b_h], lr=0.2, momentum=0.5)  # the method's own
    state = None

    def step(batch: Batch) -> None:
        nonlocal state
        v = torch.bernoulli(batch.image.flatten(1))
        state = torch.rand_like(v).round() if state is None else state
        with torch.no_grad():
            h = torch.bernoulli(torch.sigmoid(state @ method.W + method.b_h))
            state = torch.bernoulli(torch.sigmoid(h @ method.W.T + method.b_v))
        loss = method.free_energy(v).mean() - method.free_energy(state).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def gan_step(method: GAN) -> Step:
    """Return a step of the discriminator and of the generator, with the losses and the penalty of the method."""
    of_g = torch.optim.Adam(method.generator.parameters())
    of_d = torch.optim.Adam(method.discriminator.parameters())
    loss, count = method.loss, 0

    def step(batch: Batch) -> None:
        nonlocal count
        real, labels = 2 * batch.image - 1, batch.label
        fake = method.generate(torch.randn(len(real), method.code_size), labels)
        seen = fake.detach()
        of_critic = loss.discriminator(method.discriminate(real, labels), method.discriminate(seen, labels))
        if count % method.penalty_every == 0:
            penalty = loss.penalty(lambda images: method.discriminate(images, labels), real, seen)
            of_critic = of_critic if penalty is None else of_critic + method.penalty_every * penalty
        of_d.zero_grad()
        of_critic.backward()
        of_d.step()
        of_real = method.discriminate(real, labels) if loss.relativistic else None
        of_generator = loss.generator(method.discriminate(fake, labels), of_real)
        of_g.zero_grad()
        of_generator.backward()
        of_g.step()
        count += 1

    return step


def gaussian_vae_step(method: VAE) -> Step:
    """Return a step on the evidence lower bound with squared errors."""

    def loss_of(batch: Batch) -> Tensor:
        x = 2 * batch.image - 1
        mean, log_variance = method.encoder(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        error = F.mse_loss(torch.tanh(method.decoder(z)), x, reduction="sum")
        return (error - 0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp())) / len(x)

    return descending(list(method.parameters()), loss_of)


def bernoulli_vae_step(method: VAE) -> Step:
    """Return a step on the evidence lower bound of binary pixels."""

    def loss_of(batch: Batch) -> Tensor:
        x = torch.bernoulli(batch.image)
        mean, log_variance = method.encoder(2 * x - 1).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        error = F.binary_cross_entropy_with_logits(method.decoder(z), x, reduction="sum")
        return (error - 0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp())) / len(x)

    return descending(list(method.parameters()), loss_of)


def autoencoder_step(method: Autoencoder) -> Step:
    """Return a step on the cross-entropy of the pixels, from noisy codes."""

    def loss_of(batch: Batch) -> Tensor:
        codes = method.encoder(batch.image)
        seen = codes + method.code_noise * codes.std(0) * torch.randn_like(codes)
        return F.binary_cross_entropy_with_logits(method.decoder(seen), batch.image, reduction="sum") / len(codes)

    return descending([*method.encoder.parameters(), *method.decoder.parameters()], loss_of)


def ddpm_step(method: DDPM) -> Step:
    """Return a step of noise prediction with the method's own network."""
    return noise_step(method, lambda x, t, label: method.network(x, t.float(), label), method.network.parameters())


def noise_step(method: DDPM, network: Network, parameters: Iterator[Tensor]) -> Step:
    """Return a step of noise prediction with any U-Net, on the method's schedule."""
    alpha_bars = method.alpha_bars.float()

    def loss_of(batch: Batch) -> Tensor:
        x, t = 2 * batch.image - 1, torch.randint(1, len(alpha_bars), (len(batch.image),))
        noise, share = torch.randn_like(x), alpha_bars[t].view(-1, 1, 1, 1)
        return F.mse_loss(network(share.sqrt() * x + (1 - share).sqrt() * noise, t, batch.label), noise)

    return descending(list(parameters), loss_of)


def flow_step(method: Method) -> Step:
    """Return a step of flow matching: the network learns the way from noise to the image."""

    def loss_of(batch: Batch) -> Tensor:
        x, t = 2 * batch.image - 1, torch.rand(len(batch.image))
        noise = torch.randn_like(x)
        way = torch.lerp(noise, x, t.view(-1, 1, 1, 1))
        return F.mse_loss(method.network(way, 1000 * t, batch.label), x - noise)

    return descending(list(method.network.parameters()), loss_of)


def regene_step(method: ReGene) -> Step:
    """Return a step of the decoder of a frozen classifier's codes, in the usual memory format."""
    encoder = method.encoder.to(memory_format=torch.contiguous_format).eval()
    decoder = method.decoder.to(memory_format=torch.contiguous_format)

    def loss_of(batch: Batch) -> Tensor:
        with torch.no_grad():
            codes = encoder.layers(batch.image)
        made = torch.sigmoid(decoder.layers(codes))
        return (made - batch.image).abs().mean() + (1 - structural_similarity(made, batch.image)).mean()

    return descending(list(decoder.parameters()), loss_of)


def csgm_step(method: CSGM, images: Stored) -> Step:
    """Return a step on these images with the mathematics of `model=csgm`, as a standalone script would write it."""
    method.start_codes(images.images, images.labels)
    optimizer = method.configure_optimizers()
    visited = 0

    def step(batch: Batch) -> None:
        nonlocal visited
        method.labels[batch.index] = batch.label
        places, target = method.visited_places(by_pixel(batch.image))
        codes = method.codes[batch.index].requires_grad_()
        d, g = method.outputs(codes + method.code_noise * torch.randn_like(codes), batch.label, places)
        error_d = (1 - d).square().sum() + method.error_on_fresh_codes(batch.label)
        error_g, _ = method.errors_of_g(g, target)
        optimizer.zero_grad()
        ((method.d_weight * error_d + error_g) / 2).backward()
        optimizer.step()
        method.move_codes(batch.index, codes.grad, method.code_rate)
        visited += len(batch.index)
        if visited >= len(method.codes):
            method.whiten_codes()
            visited = 0

    return step


def one_pixel_rate(method: CSGM, images: Stored, steps: int) -> float:
    """Return the pixels a second of Algorithm 1 as the document states it: one image, one pixel, one step.

    Args:
        method: `model=csgm_paper`, whose network sees class, code and place at once.
        images: the first one is visited.
        steps: of the visit.
    """
    optimizer = torch.optim.SGD(method.network.parameters(), lr=0.01)
    image, label = images.array[0].float().div(255), F.one_hot(images.labels[0], 10).float()
    code = method.codes[0].clone()
    started = time.perf_counter()
    for n in range(steps):
        m = n / steps
        place = int(torch.randint(784, (1,)))
        seen = code.requires_grad_()
        out = method.network(torch.cat([label, seen])[None], method.places[place][None])[0, 0]
        target = torch.tensor([m, image.flatten()[place]])
        optimizer.zero_grad()
        ((target - out).square().sum() / 2).backward()
        optimizer.step()
        code = (code - 0.01 * seen.grad).detach()
    return steps / (time.perf_counter() - started)
