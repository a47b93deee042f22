"""Measure what training and sampling cost against usual code, as ratios in the same run (part of `make bench`).

The other side is a plain torch loop of the same network: a `DataLoader` over arrays in memory, Adam with its defaults,
32 bits. genrun uses the precision of its YAML: bfloat16 products if the processor supports them. The RBM is also compared
with scikit-learn's, and the DDPM with the U-Net of denoising-diffusion-pytorch (the extra `bench`).
Needs MNIST in $GENRUN_DATA.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable

import bench
import torch
from bench import PAIRS, ROOT, genrun_epoch, median_pair
from rich.console import Console
from rich.table import Table
from sklearn.neural_network import BernoulliRBM
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from genrun.data.images import Stored
from genrun.data.sources import mnist
from genrun.methods.ddpm import DDPM
from genrun.methods.gan import GAN
from genrun.methods.method import Method
from genrun.methods.rbm import RBM
from genrun.methods.vae import VAE

Step = Callable[[Tensor, Tensor], None]  # a training step on images (B, 1, 28, 28) in [0, 1] and their labels (B,)


def plain_loop(step: Step, images: Stored, batch_size: int) -> float:
    """Return the seconds of an epoch of a hand-written loop over a DataLoader."""
    data = DataLoader(TensorDataset(images.array.float().div(255), images.labels), batch_size, shuffle=True)
    started = time.perf_counter()
    for image, label in data:
        step(image, label)
    return time.perf_counter() - started


def rbm_step(method: RBM) -> Step:
    """Return a step of persistent contrastive divergence, with gradients of the free energy by autograd."""
    optimizer, state = (
        torch.optim.Adam([method.W, method.b_v, method.b_h]),
        torch.rand(len(method.fantasies), len(method.W)).round(),
    )

    def step(image: Tensor, _: Tensor) -> None:
        nonlocal state
        v = torch.bernoulli(image.flatten(1))
        with torch.no_grad():
            h = torch.bernoulli(torch.sigmoid(state @ method.W + method.b_h))
            state = torch.bernoulli(torch.sigmoid(h @ method.W.T + method.b_v))
        loss = method.free_energy(v).mean() - method.free_energy(state).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def gan_step(method: GAN) -> Step:
    """Return a step of the discriminator and of the generator."""
    of_g = torch.optim.Adam(method.generator.parameters())
    of_d = torch.optim.Adam(method.discriminator.parameters())
    bce = torch.nn.BCEWithLogitsLoss()

    def step(image: Tensor, _: Tensor) -> None:
        real, one, zero = 2 * image - 1, torch.ones(len(image), 1), torch.zeros(len(image), 1)
        fake = torch.tanh(method.generator(torch.randn(len(image), method.code_size)))
        loss = (bce(method.discriminator(real), one) + bce(method.discriminator(fake.detach()), zero)) / 2
        of_d.zero_grad()
        loss.backward()
        of_d.step()
        loss = bce(method.discriminator(fake), one)
        of_g.zero_grad()
        loss.backward()
        of_g.step()

    return step


def vae_step(method: VAE) -> Step:
    """Return a step on the evidence lower bound with squared errors."""
    optimizer = torch.optim.Adam(method.parameters())

    def step(image: Tensor, _: Tensor) -> None:
        x = 2 * image - 1
        mean, log_variance = method.encoder(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        error = F.mse_loss(torch.tanh(method.decoder(z)), x, reduction="sum")
        loss = (error - 0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp())) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def noise_step(method: DDPM, network: Callable[[Tensor, Tensor, Tensor], Tensor], parameters: list[Tensor]) -> Step:
    """Return a step of noise prediction with any U-Net of images, times and labels."""
    optimizer = torch.optim.Adam(parameters)
    alpha_bars = method.alpha_bars.float()

    def step(image: Tensor, label: Tensor) -> None:
        x, t = 2 * image - 1, torch.randint(1, len(alpha_bars), (len(image),))
        noise, share = torch.randn_like(x), alpha_bars[t].view(-1, 1, 1, 1)
        loss = F.mse_loss(network(share.sqrt() * x + (1 - share).sqrt() * noise, t, label), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def build(model: str, images: Stored) -> tuple[Method, object]:
    """Build a method for MNIST as its YAML describes it. Return it with the configuration of a short training."""
    method, cfg = bench.build(images, f"model={model}", "trainer.max_epochs=3", "trainer.limit_val_batches=0")
    cfg.callbacks.watching = {}
    return method, cfg


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    if not (ROOT / "MNIST" / "raw").is_dir():
        sys.exit(f"bench: MNIST is not in {ROOT}; set GENRUN_DATA to the folder that holds MNIST/raw")
    torch.manual_seed(0)
    train = mnist(root=str(ROOT)).train
    table = Table(f"images/s, median of {PAIRS} pairs", "genrun", "other", "ratio", "goal", box=None, pad_edge=False)

    def compare(what: str, n: int, ours: Callable[[], float], theirs: Callable[[], float], goal: str) -> None:
        """Add a table row for two measurements, each in seconds for n images."""
        a, b = median_pair(ours, theirs)
        table.add_row(what, f"{n / a:,.0f}", f"{n / b:,.0f}", f"{b / a:.2f}", goal)

    for model, step, n, goal in (
        ("rbm", rbm_step, len(train), "≥ 2"),
        ("gan_paper", gan_step, 20000, "≥ 1.5"),
        ("vae_paper", vae_step, 20000, "≥ 1.5"),
    ):
        some = train.take(torch.arange(n))
        (method, cfg), (twin, _) = build(model, some), build(model, some)
        size, twin_step = cfg.data.batch_size, step(twin)
        compare(
            f"training, model={model}, batch {size}, against a plain loop",
            n,
            lambda m=method, s=some, c=cfg: genrun_epoch(m, s, c.data.batch_size, c),
            lambda t=twin_step, s=some, b=size: plain_loop(t, s, b),
            goal,
        )

    method, cfg = build("rbm", train)
    flat = train.array.flatten(1).float().div(255).numpy()
    theirs = BernoulliRBM(cfg.model.hidden, learning_rate=0.1, batch_size=cfg.data.batch_size, n_iter=1)
    compare(
        f"training, model=rbm, batch {cfg.data.batch_size}, against scikit-learn's BernoulliRBM of the same sizes",
        len(train),
        lambda: genrun_epoch(method, train, cfg.data.batch_size, cfg),
        lambda: seconds_of(lambda: theirs.fit(flat)),
        "≥ 2.5",
    )

    some = train.take(torch.arange(1024))
    (method, cfg), (twin, _) = build("ddpm", some), build("ddpm", some)
    size = cfg.data.batch_size
    twin_step = noise_step(twin, lambda x, t, label: twin.network(x, t.float(), label), list(twin.network.parameters()))
    ours = lambda: genrun_epoch(method, some, size, cfg)  # noqa: E731
    compare(
        f"training, model=ddpm, batch {size}, against a plain loop",
        len(some),
        ours,
        lambda: plain_loop(twin_step, some, size),
        "≥ 1.1",
    )
    try:
        from denoising_diffusion_pytorch import Unet
    except ModuleNotFoundError:
        print(
            "denoising-diffusion-pytorch is not installed (the extra `bench`): two rows are left out", file=sys.stderr
        )
    else:
        mine = sum(weight.numel() for weight in method.network.parameters())
        nets = [Unet(dim=dim, dim_mults=(1, 2, 4), channels=1) for dim in range(8, 40, 4)]
        net = min(nets, key=lambda each: abs(sum(weight.numel() for weight in each.parameters()) - mine))
        count = sum(weight.numel() for weight in net.parameters())
        step = noise_step(twin, lambda x, t, _: net(x, t), list(net.parameters()))  # it has no labels
        few = train.take(torch.arange(size * 2))
        table.add_row(f"denoising-diffusion-pytorch's U-Net: {count:,} parameters, ours {mine:,}", "", "", "", "")
        compare(
            "   training",
            1,
            lambda: ours() / len(some),
            lambda: plain_loop(step, few, size) / len(few),
            "≥ 2",
        )
        x, t, labels = torch.randn(size, 1, 28, 28), torch.full((size,), 100.0), torch.arange(size) % 10

        def evaluation(*given: Tensor, network: nn.Module) -> float:
            with torch.no_grad():
                return seconds_of(lambda: network(*given)) / size

        compare(
            "   an evaluation in sampling",
            1,
            lambda: evaluation(x, t, labels, network=method.network),
            lambda: evaluation(x, t, network=net),
            "≥ 2",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
