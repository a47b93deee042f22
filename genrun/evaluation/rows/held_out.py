"""Rows on test images: how well a method reconstructs them, and which likelihood it gives them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from genrun.data.images import Images, shuffled
from genrun.evaluation.rows.images import reconstructed
from genrun.evaluation.rows.row import Row
from genrun.inference import seeded
from genrun.maths.random_numbers import bernoulli
from genrun.types import Bounded, Density, Reconstructs

if TYPE_CHECKING:
    from genrun.data.module import ImageData
    from genrun.methods.method import Method

BINARISED = 0  # seed of the binarising draw, the same for every run
WINDOW = 11  # pixels, side of the Gaussian window of SSIM (σ = 1.5 pixels); less for smaller images


def reconstruction_rows(method: Method, data: ImageData, most: int, chunk: int) -> list[Row]:
    """Return rows of the reconstruction errors, on [0, 1], and the structural similarity (SSIM) of test images.

    If the method cannot reconstruct, there are no rows.

    Args:
        method: the trained method.
        data: the data set.
        most: test images at most; 0: no rows.
        chunk: images at a time.
    """
    if not most or not isinstance(method, Reconstructs):
        return []
    test = data.test.take(shuffled(len(data.test))[:most])  # a test set may be sorted by class
    count = len(test)
    sums = torch.zeros(3, dtype=torch.float64)
    for images, rebuilt in reconstructed(method, test, chunk):
        sums += torch.stack([each.double().sum().cpu() for each in errors(rebuilt, images)])
    names = "reconstruction, mean squared error", "reconstruction, mean absolute error", "reconstruction, SSIM"
    return [
        Row(name, total / count, count=count, protocol=f"{count:,} test images", best=best)
        for name, total, best in zip(names, sums.tolist(), ("low", "low", "high"), strict=True)
    ]


def errors(rebuilt: Tensor, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean squared error, mean absolute error and SSIM of each image: (n, C, H, W) → three times (n,).

    References:
        Wang et al., Image quality assessment: from error visibility to structural similarity, 2004; images mirrored at their edges.
    """
    difference = rebuilt - images
    window = min(WINDOW, (min(images.shape[2:]) - 1) // 2 * 2 + 1)
    similarity = structural_similarity_index_measure(
        rebuilt, images, gaussian_kernel=True, sigma=1.5 * window / WINDOW, data_range=1.0, reduction="none"
    )
    return difference.square().mean((1, 2, 3)), difference.abs().mean((1, 2, 3)), similarity


def likelihood_rows(
    method: Method, data: ImageData, most: int, chunk: int, seed: int, importance: int = 1
) -> list[Row]:
    """Return rows of the likelihood of test images, for a method that has one or a lower bound of it.

    The likelihood is a density or a probability mass. The rows are in bits per dimension of dequantised images. If the method's
    `binary` is true, they are in nats of binarised images. A method without a likelihood or a bound has no rows.

    Args:
        method: the trained method.
        data: the data set.
        most: test images at most, fewer if the method says so; 0: no rows.
        chunk: images at a time.
        seed: seed of the noise.
        importance: samples per image for a tighter bound of binarised images; 1: without this bound.
    """
    if not most or not isinstance(method, Density | Bounded):
        return []
    if method.likelihoods_at_most is not None:
        most = min(most, method.likelihoods_at_most)
    test = data.test.take(shuffled(len(data.test))[:most])
    if method.binary:
        return nats_rows(method, test, chunk, seed, importance)
    rows, count = [], len(test)
    protocol = f"{count:,} test images, dequantised"
    if isinstance(method, Density):
        bits = bits_per_dimension(method, method.log_prob, test, chunk, seed)
        note = "" if math.isfinite(bits) else "the method cannot compute the density of some images"
        rows.append(Row("bits per dimension", bits, count=count, protocol=protocol, note=note, best="low"))
    if isinstance(method, Bounded):
        noise = seeded(seed, device=method.device)
        bits = bits_per_dimension(method, lambda images: method.elbo(images, generator=noise), test, chunk, seed)
        note = "from the evidence lower bound" if math.isfinite(bits) else "the method has no bound for some images"
        rows.append(Row("bits per dimension, upper bound", bits, count=count, protocol=protocol, note=note, best="low"))
    return rows


def nats_rows(method: Method, test: Images, chunk: int, seed: int, importance: int) -> list[Row]:
    """Return rows of the mean log-likelihood of binarised test images, in nats.

    Each pixel is drawn once: it is 1 with the probability of its grey value.

    References:
        Salakhutdinov and Murray, On the quantitative analysis of deep belief networks, 2008, section 6 (the same binarisation).
    """
    noise = seeded(seed, device=method.device)
    asked: dict[str, Callable[[Tensor], Tensor]] = {}
    if isinstance(method, Density):
        asked["log-likelihood, nats"] = method.log_prob
    if isinstance(method, Bounded):
        asked["log-likelihood, lower bound, nats"] = lambda images: method.elbo(images, generator=noise)
        if importance > 1:
            name = f"log-likelihood, bound by {importance:,} samples, nats"
            asked[name] = lambda images: method.elbo(images, samples=importance, generator=noise)
    rows = []
    for name, log_mass in asked.items():
        binarised = seeded(BINARISED)
        each = [
            log_mass(bernoulli(test.images(part), binarised).to(method.device)).double().cpu()
            for part in torch.arange(len(test)).split(chunk)
        ]
        value, protocol = torch.cat(each).mean().item(), f"{len(test):,} test images, binarised by a fixed draw"
        rows.append(Row(name, value, count=len(test), protocol=protocol, best="high"))
    return rows


@torch.no_grad()
def bits_per_dimension(
    method: Method, log_density: Callable[[Tensor], Tensor], test: Images, chunk: int, seed: int
) -> float:
    r"""Return the mean bits per dimension of dequantised test images.

    Uniform noise u ~ U[0, 1)^D makes x ∈ {0, …, 255}^D continuous. The density p of (x + u)/256 gives

        bits per dimension = -log₂ p((x + u)/256) / D + 8,

    where 8 = log₂ 256 accounts for the width of a grey level. This is an upper bound of the bits per dimension of the
    discrete model.

    Args:
        log_density: (n, C, H, W) in [0, 1] → nats (n,).

    References:
        Theis, van den Oord and Bethge, A note on the evaluation of generative models, 2016, section 3.1.
    """
    generator, nats = seeded(seed), 0.0
    for part in torch.arange(len(test)).split(chunk):
        pixels = test.pixels(part)
        images = (pixels + torch.rand(pixels.shape, generator=generator)) / 256
        nats += log_density(images.to(method.device)).double().sum().item()
    return 8 - nats / (len(test) * math.prod(method.image_shape) * math.log(2))
