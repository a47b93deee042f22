"""Training and sampling against the packages that a user would take instead, of the same networks or as many weights."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import torch
from sklearn.neural_network import BernoulliRBM
from torch import Tensor, nn

from genrun.data.images import Stored
from genrun.inference import balanced_labels
from genrun.methods.ddpm import DDPM
from scripts.bench.effort import Effort
from scripts.bench.measuring import in_turn, is_installed, seconds_of
from scripts.bench.plain import by_loader, epoch_rate, loader_of, noise_step
from scripts.bench.rows import Row, rate
from scripts.bench.trainings import EPOCHS, LEAST, build, mnist_source, rate_of

STEPS = 20  # evaluations of a U-Net for a sample
SAMPLES = 100


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    train = mnist_source().train
    yield rbm(train, effort)
    if is_installed("pythae"):
        yield vae(train, effort)
    if is_installed("denoising_diffusion_pytorch"):
        yield from lucidrains(train, effort)
    if is_installed("diffusers"):
        yield from diffusers(train, effort)


def rbm(train: Stored, effort: Effort) -> Row:
    """Compare with scikit-learn's RBM."""
    n = effort.count(55000, LEAST)
    words = ["model=rbm", "data=mnist", f"data.limit={n}", *EPOCHS]
    _, cfg = build(words)
    size, flat = cfg.data.batch_size, train.array[:n].flatten(1).float().div(255).numpy()
    other = BernoulliRBM(cfg.model.hidden, learning_rate=0.1, batch_size=size, n_iter=1)
    pair = in_turn(lambda: rate_of(words), lambda: n / seconds_of(lambda: other.fit(flat)), effort.pairs)
    name = f"training, model=rbm, batch {size}, against scikit-learn's BernoulliRBM of the same sizes"
    return rate(name, *pair, goal=2.5)


def vae(train: Stored, effort: Effort) -> Row:
    """Compare with pythae's trainer and VAE, around the same encoder and decoder."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    n = effort.count(10000, LEAST)
    words = ["model=vae_paper", "data=mnist", f"data.limit={n}", *EPOCHS]
    twin, cfg = build(words)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = twin.encoder

        def forward(self, x: Tensor) -> Any:
            mean, log_variance = self.network(x).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = twin.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.network(z).tanh())

    some = train.take(torch.arange(n))
    data = BaseDataset(2 * some.array.float().div(255) - 1, some.labels)
    logging.disable(logging.INFO)  # it says what it does
    with contextlib.redirect_stderr(io.StringIO()), tempfile.TemporaryDirectory() as outputs:  # and shows a bar
        options = VAEConfig((1, 28, 28), latent_dim=twin.code_size)
        settings = BaseTrainerConfig(
            outputs, per_device_train_batch_size=cfg.data.batch_size, learning_rate=1e-3, no_cuda=True
        )
        trainer = BaseTrainer(VAE(options, Encoder(), Decoder()), data, training_config=settings)
        trainer.prepare_training()
        pair = in_turn(lambda: rate_of(words), lambda: n / seconds_of(lambda: trainer.train_step(1)), effort.pairs)
    logging.disable(logging.NOTSET)
    name = f"training, model=vae_paper, batch {cfg.data.batch_size}, against pythae's trainer of the same networks"
    return rate(name, *pair, goal=1.5)


def nearest(networks: list[nn.Module], weights: int) -> nn.Module:
    """Return the network whose number of weights is nearest to the given one."""
    return min(networks, key=lambda network: abs(weights_of(network) - weights))


def weights_of(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def lucidrains(train: Stored, effort: Effort) -> Iterator[Row]:
    """Compare with the U-Net of denoising-diffusion-pytorch."""
    from denoising_diffusion_pytorch import Unet

    method = ddpm()
    other = nearest(
        [Unet(dim=dim, dim_mults=(1, 2, 4), channels=1) for dim in range(8, 40, 4)], weights_of(method.network)
    )
    package = "denoising-diffusion-pytorch's U-Net"
    yield training_of(method, lambda x, t, _: other(x, t), other, package, 10, train, effort)
    n = effort.count(128, 4)
    x, t, labels = torch.randn(n, 1, 28, 28), torch.full((n,), 100.0), balanced_labels(n, 10)

    def evaluations(network: nn.Module, *given: Tensor) -> float:
        with torch.no_grad():
            return n / seconds_of(lambda: network(*given))

    pair = in_turn(lambda: evaluations(method.network, x, t, labels), lambda: evaluations(other, x, t), effort.pairs)
    yield rate(f"an evaluation in sampling, model=ddpm, against {package}", *pair, goal=1.5)


def diffusers(train: Stored, effort: Effort) -> Iterator[Row]:
    """Compare with the U-Net of diffusers, and with its DDIM."""
    from diffusers import DDIMScheduler, UNet2DModel

    method = ddpm("model/sampler=ddim", f"model.sampler.steps={STEPS}")
    blocks = {
        "down_block_types": ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    }
    networks = [
        UNet2DModel(
            28, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=8, attention_head_dim=8,
            block_out_channels=(width, 2 * width, last * width), **blocks,
        )
        for width in range(8, 48, 8)
        for last in (3, 4)
    ]  # fmt: skip
    other = nearest(networks, weights_of(method.network))
    yield training_of(method, lambda x, t, _: other(x, t).sample, other, "diffusers' UNet2DModel", 1.5, train, effort)
    n = effort.count(SAMPLES, 4)
    labels, scheduler = balanced_labels(n, 10), DDIMScheduler(1000, beta_schedule="squaredcos_cap_v2")

    def sample() -> None:
        scheduler.set_timesteps(STEPS)
        x = torch.randn(n, 1, 28, 28)
        with torch.no_grad():
            for t in scheduler.timesteps:
                x = scheduler.step(other(x, t).sample, t, x).prev_sample

    pair = in_turn(
        lambda: n / seconds_of(lambda: method.sample(n, labels, generator=torch.Generator().manual_seed(0))),
        lambda: n / seconds_of(sample),
        effort.pairs,
    )
    yield rate(f"sampling, model=ddpm, DDIM of {STEPS} steps, against diffusers' scheduler and U-Net", *pair, goal=1.5)


def ddpm(*words: str) -> DDPM:
    """Build a DDPM for its network."""
    return build(["model=ddpm", *words])[0].eval()


def training_of(
    method: DDPM,
    network: Callable[[Tensor, Tensor, Tensor], Tensor],
    other: nn.Module,
    package: str,
    goal: float,
    train: Stored,
    effort: Effort,
) -> Row:
    """Compare the training of `model=ddpm` with a plain loop of another package's U-Net, which has no labels."""
    n = effort.count(1024, LEAST)
    words = ["model=ddpm", "data=mnist", f"data.limit={n}", *EPOCHS]
    size = build(words)[1].data.batch_size
    step = noise_step(method, network, other.parameters())
    loader = loader_of(train.take(torch.arange(min(n, 2 * size))), size)
    pair = in_turn(lambda: rate_of(words), lambda: epoch_rate(step, by_loader(loader)), effort.pairs)
    note = f"{weights_of(other):,} weights, ours {weights_of(method.network):,}"
    return rate(f"training, model=ddpm, batch {size}, against {package}", *pair, goal=goal, note=note)
