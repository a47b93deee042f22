"""Draw samples beside the images that are closest to them: training images, what these are rebuilt to, other samples.

A function that returns several figures returns them as file name → content.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genrun.data.images import Images, Stored
from genrun.errors import Refused, one_line
from genrun.evaluation.closest import SquaredError, StructuralDissimilarity, closest
from genrun.evaluation.vgg import VGGFeatures, vgg_weights
from genrun.figures.grid import image_grid, png_bytes
from genrun.figures.matches import matches
from genrun.inference import labels_for
from genrun.stages.code_figures import has_codes
from genrun.system.console import say
from genrun.types import Encodes, KeepsCodes, Reconstructs

if TYPE_CHECKING:
    from genrun.stages.context import RunContext

COLUMNS = 10  # samples
MATCHES, MORE_MATCHES = 3, 5  # closest training images and closest samples of a sample
WAYS = ("squared error", "SSIM")  # how the closest images are found
MAX_SEARCHED = 2**28  # pixel values that are searched: all of MNIST's and CIFAR-10's, 21,845 training images of 3×64×64


@torch.no_grad()
def closest_figures(context: RunContext, samples: Tensor, labels: Tensor) -> dict[str, bytes]:
    """Draw all figures of closest images that the method's capabilities allow.

    Args:
        samples: (n, C, H, W) uint8.
        labels: (n,) classes, -1 if there are none; if there are several classes, the first sample of each is shown.
    """
    method, made, at = context.method, {}, one_of_each(labels)
    if len(samples) > 1:
        made["closest_samples.png"] = closest_samples(samples, at, context.cfg.sample.chunk)
    if has_codes(method):
        shown = samples[at].float().div(255).to(method.device)
        rebuilt = rebuilt_training_images(context, shown[0].numel()) if isinstance(method, Reconstructs) else None
        made["closest_training.png"] = closest_training(context, shown, labels[at], rebuilt)
        if rebuilt is not None and isinstance(method, Encodes) and not isinstance(method, KeepsCodes):
            made["originality.png"] = originality(context, shown, rebuilt)
    return made


def rebuilt_training_images(context: RunContext, values: int) -> Stored:
    """Return what the codes of the training images decode to, rounded to 8 bits.

    Args:
        values: numbers in an image, C·H·W.
    """
    method, train = context.method, context.data.train
    count = min(len(train), max(1, MAX_SEARCHED // values))
    array = torch.empty(count, *method.image_shape, dtype=torch.uint8)
    for part in torch.arange(count).split(context.cfg.sample.chunk):
        decoded = method.decode_codes(context.training_codes[part], labels_for(train.labels[part], method))
        array[part] = decoded.mul(255).round().clamp(0, 255).to(torch.uint8).cpu()
    return Stored(array=array, labels=train.labels[:count])


def originality(context: RunContext, shown: Tensor, rebuilt: Stored) -> bytes:
    """Draw samples, the rebuilt training image nearest to each by cross-entropy, and this training image, as a PNG.

    This is figure 4 of "Image Generation Using an Autoencoder". With x a sample and r a reconstruction, both flattened:

        -Σ_i x_i log r_i + (1 - x_i) log(1 - r_i) = -xᵀ logit(r) - Σ_i log(1 - r_i)

    Args:
        shown: samples (n, C, H, W) in [0, 1].
        rebuilt: the rebuilt training images.
    """
    x = shown.flatten(1)
    least = torch.full((len(x),), torch.inf, device=x.device)
    nearest = torch.zeros(len(x), dtype=torch.long)
    for part in torch.arange(len(rebuilt)).split(context.cfg.sample.chunk):
        r = rebuilt.images(part).to(x.device).flatten(1).clamp(1e-4, 1 - 1e-4)
        distance, at = (-x @ r.logit().T - torch.log1p(-r).sum(1)).min(1)
        better = distance < least
        least = torch.where(better, distance, least)
        nearest[better.cpu()] = part[at[better].cpu()]
    three = torch.cat([shown.cpu(), rebuilt.images(nearest), context.data.train.images(nearest)])
    return png_bytes(image_grid(three, len(x), row_names=["sample", "nearest rebuilt", "its image"]))


def closest_training(context: RunContext, shown: Tensor, labels: Tensor, rebuilt: Stored | None) -> bytes:
    """Draw samples beside the three closest training images of each, as a PNG. The method has codes.

    They are the closest by squared error of the pixels and by structural similarity; if the method encodes, also by squared error of
    the codes; if the file of VGG-16's weights is on disk (see `genrun.evaluation.vgg`), also by squared error of its features. If
    the method reconstructs, the closest rebuilt training images follow. As figures 12 and E.28 to E.39 of ReGene.

    Args:
        shown: samples (n, C, H, W) in [0, 1].
        labels: (n,) their classes, -1 if there are none.
        rebuilt: the rebuilt training images; None if the method does not reconstruct.
    """
    method, train, chunk = context.method, context.data.train, context.cfg.sample.chunk
    count = min(len(train), max(1, MAX_SEARCHED // shown[0].numel()))

    def chunks(images: Images) -> Iterator[Tensor]:
        for part in torch.arange(count).split(chunk):
            yield images.images(part).to(shown.device)

    by_pixels = [SquaredError(shown), StructuralDissimilarity(shown)]
    indices = dict(zip(WAYS, closest(by_pixels, chunks(train), MATCHES), strict=True))
    if isinstance(method, Encodes):
        codes = SquaredError(method.encode(shown, labels_for(labels, method)))
        stored = (part.to(shown.device) for part in context.training_codes[:count].split(chunk))
        indices["squared error of codes"] = closest([codes], stored, MATCHES)[0]
    if (features := vgg_features(context)) is not None:
        found = closest([SquaredError(features(shown))], map(features, chunks(train)), MATCHES)
        indices["squared error of VGG-16's features"] = found[0]
    of = f"{count:,} training images" if count == len(train) else f"the first {count:,} training images"
    groups = {f"closest of {of}, {way}": images_at(train, index) for way, index in indices.items()}
    if rebuilt is not None:
        for way, index in zip(WAYS, closest(by_pixels, chunks(rebuilt), MATCHES), strict=True):
            groups[f"closest of their reconstructions, {way}"] = images_at(rebuilt, index)
    return png_bytes(matches(shown.cpu(), "sample", groups))


def vgg_features(context: RunContext) -> VGGFeatures | None:
    """Return VGG-16's features, on the method's device; None if its file is not on disk, or is damaged, which a line then says."""
    if (weights := vgg_weights()) is None:
        return None
    try:
        return VGGFeatures(weights).to(context.method.device)
    except Refused as error:  # the other figures do not need it
        say(context.console, f"closest_training.png has no matches by VGG-16's features: {one_line(error)}")
        return None


def closest_samples(samples: Tensor, at: Tensor, chunk: int) -> bytes:
    """Draw samples beside the five other samples that are closest to each, by squared error and by structural similarity, as a PNG.

    As figures 13 and E.40 to E.45 of ReGene: equal rows would show that the samples do not vary.

    Args:
        samples: (n, C, H, W) uint8, n ≥ 2.
        at: indices of the samples to show.
        chunk: samples at a time.
    """
    every = samples.float().div(255)
    measures = [SquaredError(every[at]), StructuralDissimilarity(every[at])]
    found = closest(measures, every.split(chunk), MORE_MATCHES, own=at)
    captions = [f"closest of {len(every) - 1:,} other samples, {way}" for way in WAYS]
    groups = {caption: every[index] for caption, index in zip(captions, found, strict=True)}
    return png_bytes(matches(every[at], "sample", groups))


def one_of_each(labels: Tensor) -> Tensor:
    """Return the index of the first image of each class, at most ten; of the first ten images if there is one class or none."""
    places = [int((labels == k).nonzero()[0]) for k in labels.unique().tolist()]
    return torch.tensor(places if len(places) > 1 else range(len(labels)))[:COLUMNS]


def images_at(images: Images, index: Tensor) -> Tensor:
    """Return the images at indices (n, k): (n, k, C, H, W) in [0, 1]."""
    return images.images(index.flatten()).unflatten(0, index.shape)
