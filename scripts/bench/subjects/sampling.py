"""Sampling, in images a second, against the bare evaluations of the same networks in 32 bits, as many and as large."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from genrun.inference import balanced_labels, sample_chunks
from genrun.methods.autoencoder import Autoencoder
from genrun.methods.csgm import CSGM
from genrun.methods.denoiser import Denoiser
from genrun.methods.gan import GAN
from genrun.methods.method import Method
from genrun.methods.rbm import RBM
from genrun.methods.regene import ReGene
from genrun.methods.vae import VAE
from genrun.runs.open import open_run
from scripts.bench.effort import Effort
from scripts.bench.measuring import in_turn, seconds_of
from scripts.bench.rows import Row, rate
from scripts.bench.trainings import ONE_EPOCH, UNCHECKED, phases_of_regene, train

Bare = Callable[[Method, Tensor], object]  # evaluates the networks for labels (n,)
CHUNK = 500  # images at a time, as in a run
TRAINED = 2000  # images of the short trainings before


def decoder_of_vae(method: VAE | Autoencoder | ReGene, labels: Tensor) -> object:
    return method.decoder(torch.randn(len(labels), codes_of(method)))


def codes_of(method: VAE | Autoencoder | ReGene) -> int:
    """Return the length of a method's codes."""
    return method.prior.size


def generator_of_gan(method: GAN, labels: Tensor) -> object:
    return method.generate(torch.randn(len(labels), method.code_size), labels)


def network_of_csgm(method: CSGM, labels: Tensor) -> object:
    codes = torch.randn(len(labels), method.codes.shape[1])
    return method.network(torch.cat([F.one_hot(labels, method.num_classes).float(), codes], 1), method.places)


def denoiser(method: Denoiser, labels: Tensor) -> object:
    x = torch.randn(len(labels), *method.image_shape)
    for step in range(method.sampler.steps):
        x = method.network(x, torch.full((len(labels),), float(step)), labels)
    return x


def gibbs_steps(method: RBM, labels: Tensor) -> object:
    v = torch.rand(len(labels), len(method.W)).round()
    for _ in range(method.gibbs_steps):
        h = torch.bernoulli(torch.sigmoid(v @ method.W + method.b_h))
        v = torch.bernoulli(torch.sigmoid(h @ method.W.T + method.b_v))
    return v


@dataclass(frozen=True)
class Sampled:
    """A method, and what its sampling cannot do without.

    Args:
        model: its YAML.
        images: drawn in one measurement.
        bare: evaluates the networks; None: the method has none.
        words: of the configuration of the short training.
        important: whether `--quick` measures it.
    """

    model: str
    images: int
    bare: Bare | None
    words: tuple[str, ...] = ONE_EPOCH
    important: bool = False


SAMPLED = (
    Sampled("csgm", 2000, network_of_csgm),
    Sampled("rbm", 1000, gibbs_steps, important=True),
    Sampled("gan", 1000, generator_of_gan),
    Sampled("vae", 2000, decoder_of_vae),
    Sampled("ddpm", 250, denoiser, important=True),
    Sampled("flow_matching", 250, denoiser),
    Sampled("autoencoder", 2000, decoder_of_vae),
    Sampled("regene", 1000, decoder_of_vae, (*UNCHECKED, *phases_of_regene(1))),
    # all its epochs: sampling passes through every fitted step
    Sampled("nota", 1000, None, (f"model.particles={TRAINED}",)),
)


def rows(effort: Effort) -> Iterator[Row]:
    """Yield the rows of this subject."""
    for one in SAMPLED:
        if not effort.important or one.important:
            yield row(one, effort)


def row(one: Sampled, effort: Effort) -> Row:
    """Train for a moment, and measure the sampling."""
    words = [f"model={one.model}", "data=mnist", f"data.limit={TRAINED}", *one.words]
    with tempfile.TemporaryDirectory() as outputs:
        method = open_run(train(words, outputs=Path(outputs)).folder.path).method().eval()
    n = effort.count(one.images, 10)
    labels = balanced_labels(n, max(1, method.num_classes))
    name, ours = (
        f"model={one.model}",
        lambda: n / seconds_of(lambda: list(sample_chunks(method, n, seed=0, chunk=CHUNK))),
    )
    if one.bare is None:
        ours()
        found = statistics.median(ours() for _ in range(effort.pairs))
        return Row(name, found, unit="images/s", note="there is no network")

    def bare() -> float:
        with torch.no_grad():
            return n / seconds_of(lambda: [one.bare(method, part) for part in labels.split(CHUNK)])

    return rate(f"{name}, against bare evaluations of its network", *in_turn(ours, bare, effort.pairs))
