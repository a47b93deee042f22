"""Draw figures of a method's capabilities: trajectories, noise, reconstructions, closest images, comparison with other runs.

A function that returns several figures returns them as file name → content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from genrun.data.images import Images, shuffled
from genrun.evaluation.closest import SquaredError, StructuralDissimilarity, closest
from genrun.evaluation.vgg import VGGFeatures, vgg_weights
from genrun.figures.bands import Band, bands
from genrun.figures.compared import compared
from genrun.figures.grid import image_grid, png_bytes
from genrun.figures.matches import matches
from genrun.figures.processes import film, schedule, strip
from genrun.figures.tsne import FEWEST, tsne
from genrun.inference import balanced_labels, codes_of_images, labels_for, seeded, training_codes
from genrun.report.compare import distinguishing_options, option_label, runs_beside, sort_key
from genrun.runs.open import OpenRun, open_run
from genrun.stages.code_figures import MAX_TSNE_CODES, CodedImages, has_codes
from genrun.types import Encodes, KeepsCodes, Noises, Reconstructs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from genrun.methods.method import Method
    from genrun.stages.context import RunContext

TRAJECTORY_IMAGES = 25  # images in a trajectory
COLUMNS = 10  # images in a row
MATCHES, MORE_MATCHES = 3, 5  # closest training images and closest samples of a sample
WAYS = ("squared error", "SSIM")  # how the closest images are found
MAX_SEARCHED = 2**28  # pixel values that are searched: all of MNIST's and CIFAR-10's, 21,845 training images of 3×64×64


@torch.no_grad()
def trajectory_figures(context: RunContext) -> dict[str, bytes]:
    """Draw the trajectory of samples, as a GIF and as a strip; a conditional method takes the classes in turn."""
    method: Method = context.method
    labels = balanced_labels(TRAJECTORY_IMAGES, method.num_classes).to(method.device) if method.num_classes else None
    states = method.sample_trajectory(
        TRAJECTORY_IMAGES, labels, generator=seeded(context.cfg.seed, device=method.device)
    ).cpu()
    name = "denoising" if isinstance(method, Noises) else "sampling"
    return {f"{name}.gif": film(states), f"{name}.png": png_bytes(strip(states))}


@torch.no_grad()
def noise_figures(context: RunContext) -> dict[str, bytes]:
    """Draw the noise schedule and, if there are test images, a GIF in which test images turn to noise."""
    method = context.method
    made = {"schedule.png": png_bytes(schedule(method.noise_schedule()))}
    index = shuffled(len(context.data.test))[:TRAJECTORY_IMAGES]  # images may be sorted by class
    if len(index):
        images = images_on_device(context.data.test, index, method)
        states = method.noise_trajectory(images, generator=seeded(context.cfg.seed, device=method.device))
        made["noising.gif"] = film(states.cpu())
    return made


@torch.no_grad()
def reconstruction_figure(context: RunContext) -> bytes:
    """Draw test images and their reconstructions, as a PNG."""
    method = context.method
    index = shuffled(len(context.data.test))[:COLUMNS]
    images = images_on_device(context.data.test, index, method)
    rebuilt = method.reconstruct(images, labels_for(context.data.test.labels[index], method))
    both = torch.cat([images, rebuilt]).cpu()
    return png_bytes(image_grid(both, len(index), row_names=["image", "rebuilt"]))


@torch.no_grad()
def originality_figure(context: RunContext, samples: Tensor, labels: Tensor) -> bytes:
    """Draw samples, the reconstruction of a training image nearest to each by cross-entropy, and this training image, as a PNG.

    This is figure 4 of "Image Generation Using an Autoencoder". With x a sample and r a reconstruction, both flattened:

        -Σ_i x_i log r_i + (1 - x_i) log(1 - r_i) = -xᵀ logit(r) - Σ_i log(1 - r_i)

    Args:
        samples: (n, C, H, W) uint8.
        labels: (n,) classes, -1 if there are none; if there are several classes, the first sample of each is shown.
    """
    method, train = context.method, context.data.train
    shown = samples[one_of_each(labels)].float().div(255).to(method.device)
    x = shown.flatten(1)
    least = torch.full((len(x),), torch.inf, device=method.device)
    nearest, rebuilt = torch.zeros(len(x), dtype=torch.long), torch.empty_like(shown)
    for part in torch.arange(len(train)).split(context.cfg.sample.chunk):
        images = method.reconstruct(images_on_device(train, part, method), labels_for(train.labels[part], method))
        r = images.flatten(1).clamp(1e-4, 1 - 1e-4)
        distance, at = (-x @ r.logit().T - torch.log1p(-r).sum(1)).min(1)
        better = distance < least
        least = torch.where(better, distance, least)
        rebuilt[better] = images[at[better]]
        nearest[better.cpu()] = part[at[better].cpu()]
    three = torch.cat([shown.cpu(), rebuilt.cpu(), train.images(nearest)])
    return png_bytes(image_grid(three, len(x), row_names=["sample", "nearest rebuilt", "its image"]))


@torch.no_grad()
def closest_training_figure(context: RunContext, samples: Tensor, labels: Tensor) -> bytes:
    """Draw samples beside the three closest training images of each, as a PNG. The method has codes.

    They are the closest by squared error of the pixels and by structural similarity; if the method encodes, also by squared error of
    the codes; if the file of VGG-16's weights is on disk (see `genrun.evaluation.vgg`), also by squared error of its features. If
    the method reconstructs, the closest reconstructions of training images follow. As figures 12 and E.28 to E.39 of ReGene.

    Args:
        samples: (n, C, H, W) uint8.
        labels: (n,) classes, -1 if there are none; if there are several classes, the first sample of each is shown.
    """
    method, train, chunk = context.method, context.data.train, context.cfg.sample.chunk
    at = one_of_each(labels)
    shown = samples[at].float().div(255).to(method.device)
    count = min(len(train), max(1, MAX_SEARCHED // shown[0].numel()))
    parts = torch.arange(count).split(chunk)

    def originals(index: Tensor) -> Tensor:
        return images_on_device(train, index, method)

    def rebuilt(index: Tensor) -> Tensor:
        conditions = labels_for(train.labels[index], method)
        if isinstance(method, KeepsCodes):
            return method.decode_codes(training_codes(method, train, index, chunk), conditions)
        return method.reconstruct(originals(index), conditions)

    by_pixels = [SquaredError(shown), StructuralDissimilarity(shown)]
    indices = dict(zip(WAYS, closest(by_pixels, map(originals, parts), MATCHES), strict=True))
    if isinstance(method, Encodes):
        codes = SquaredError(method.encode(shown, labels_for(labels[at], method)))
        found = closest([codes], (training_codes(method, train, part, chunk) for part in parts), MATCHES)
        indices["squared error of codes"] = found[0]
    if (weights := vgg_weights()) is not None:
        features = VGGFeatures(weights).to(method.device)
        found = closest([SquaredError(features(shown))], (features(originals(part)) for part in parts), MATCHES)
        indices["squared error of VGG-16's features"] = found[0]
    of = f"{count:,} training images" if count == len(train) else f"the first {count:,} training images"
    groups = {f"closest of {of}, {way}": images_at(originals, index) for way, index in indices.items()}
    if isinstance(method, Reconstructs):
        for way, index in zip(WAYS, closest(by_pixels, map(rebuilt, parts), MATCHES), strict=True):
            groups[f"closest of their reconstructions, {way}"] = images_at(rebuilt, index)
    return png_bytes(matches(shown.cpu(), "sample", groups))


def closest_samples_figure(context: RunContext, samples: Tensor, labels: Tensor) -> bytes:
    """Draw samples beside the five other samples that are closest to each, by squared error and by structural similarity, as a PNG.

    As figures 13 and E.40 to E.45 of ReGene: equal rows would show that the samples do not vary.

    Args:
        samples: (n, C, H, W) uint8, n ≥ 2.
        labels: as in `closest_training_figure`.
    """
    every, at = samples.float().div(255), one_of_each(labels)
    measures = [SquaredError(every[at]), StructuralDissimilarity(every[at])]
    found = closest(measures, every.split(context.cfg.sample.chunk), MORE_MATCHES, own=at)
    captions = [f"closest of {len(every) - 1:,} other samples, {way}" for way in WAYS]
    groups = {caption: every[index] for caption, index in zip(captions, found, strict=True)}
    return png_bytes(matches(every[at], "sample", groups))


@torch.no_grad()
def beside_figures(context: RunContext) -> dict[str, bytes]:
    """Compare this run with the runs that `run.beside` names: reconstructions of test images, scores over the epochs, and codes.

    The reconstructions are as in figure 1 of "Image Generation Using an Autoencoder". The codes by t-SNE, and what lies between the codes
    of two test images (of class 4 if there is such a class, otherwise of the last class), are as in figure 3 of ReGene. Return an empty
    dict if there is no other run.
    """
    others = [open_run(other.path) for other in runs_beside(context.cfg, context.folder)]
    if not others:
        return {}
    settings = distinguishing_options([context.cfg, *(run.config for run in others)])
    runs: list[tuple[dict[str, Any], OpenRun | None]] = list(zip(settings, [None, *others], strict=True))
    runs.sort(key=lambda run: sort_key(run[0]))
    index = shuffled(len(context.data.test))[:COLUMNS]
    images, labels = context.data.test.images(index), context.data.test.labels[index]
    names, rows, scores, codings = ["image"], [images], {}, {}
    for setting, run in runs:
        name = ", ".join(option_label(key, value) for key, value in setting.items())
        method = context.method if run is None else run.method().to(context.method.device)
        if len(index) and isinstance(method, Reconstructs):
            rebuilt = method.reconstruct(images.to(method.device), labels_for(labels, method)).cpu()
            if not any(torch.equal(rebuilt, row) for row in rows):  # a refit has the same reconstructions as its parent
                names.append(name)
                rows.append(rebuilt)
        if has_codes(method):
            codings[name] = method
        if type(method) is type(context.method):  # different methods have different scores
            epochs = (context.folder if run is None else run.folder).metrics()
            score = method.column(method.best_by)
            curve = [(row["epoch"], row[score]) for row in epochs if score in row]
            if curve and curve not in scores.values():  # a refit has the same curve as its parent
                scores[name] = curve
    made = {}
    if len(rows) > 1:
        made["beside.png"] = png_bytes(image_grid(torch.cat(rows), len(index), row_names=names))
    if len(scores) > 1:
        made["beside_curves.png"] = png_bytes(compared(scores, context.method.best_by))
    return made | beside_codes(context, codings)


def beside_codes(context: RunContext, methods: Mapping[str, Method]) -> dict[str, bytes]:
    """Draw the codes of several methods by t-SNE, and images on the line between two codes, as `beside_figures` says.

    Args:
        methods: name → a method with codes.
    """
    facts, test, chunk = context.data.facts(), context.data.test, context.cfg.sample.chunk
    clouds: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    lines: list[Band] = []
    order = shuffled(len(test))
    label = min(4, facts.num_classes - 1)  # -1 if there are no labels
    pair = (order[test.labels[order] == label] if facts.num_classes else order)[:2]
    for name, method in methods.items():
        coded = CodedImages(method, context.data, chunk)
        if coded.kept and len(method.stored_codes()) != len(coded.split):
            continue  # that run had other training images
        codes = coded.codes(coded.order[:MAX_TSNE_CODES]).float().cpu().numpy()
        if any(np.array_equal(codes, other) for other, _ in clouds.values()):
            continue  # a refit has the same codes as its parent
        clouds[name] = (codes, coded.labels[:MAX_TSNE_CODES].numpy())
        if isinstance(method, Encodes) and len(pair) == 2:
            ends = codes_of_images(method, test, pair, chunk)  # (2, D)
            weights = torch.linspace(0, 1, COLUMNS, device=ends.device)[:, None]
            between = coded.decoded((1 - weights) * ends[0] + weights * ends[1], torch.full((COLUMNS,), label))
            images = test.images(pair)
            lines.append(Band(name, torch.cat([images[:1], between, images[1:]])))
    made = {}
    if len(clouds) > 1 and all(len(codes) >= FEWEST for codes, _ in clouds.values()):
        made["beside_tsne.png"] = png_bytes(tsne(clouds, facts.class_names))
    if len(lines) > 1:
        columns = ["image", *[""] * COLUMNS, "image"]
        made["beside_interpolation.png"] = png_bytes(bands([[line] for line in lines], columns))
    return made


def images_on_device(split: Images, index: Tensor, method: Method) -> Tensor:
    """Return the images of a split at these indices (n,), on the method's device: (n, C, H, W) in [0, 1]."""
    return split.images(index).to(method.device)


def one_of_each(labels: Tensor) -> Tensor:
    """Return the index of the first image of each class, at most ten; of the first ten images if there is one class or none."""
    places = [int((labels == k).nonzero()[0]) for k in labels.unique().tolist()]
    return torch.tensor(places if len(places) > 1 else range(len(labels)))[:COLUMNS]


def images_at(images: Callable[[Tensor], Tensor], index: Tensor) -> Tensor:
    """Return the images at indices (n, k): (n, k, C, H, W) on the CPU."""
    return images(index.flatten()).unflatten(0, index.shape).cpu()
