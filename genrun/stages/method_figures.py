"""Draw figures of a method's capabilities: trajectories, noise, reconstructions, closest images, comparison with other runs.

A function that returns several figures returns them as file name → content.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from genrun.data.images import Images, shuffled
from genrun.figures.alike import look_alike
from genrun.figures.bands import Band, bands
from genrun.figures.compared import compared
from genrun.figures.grid import beside, image_grid, png_bytes
from genrun.figures.points import point_clouds
from genrun.figures.processes import film, schedule, strip
from genrun.figures.tsne import FEWEST, tsne
from genrun.inference import balanced_labels, codes_of_images, labels_for, seeded
from genrun.report.compare import distinguishing_options, option_labels, runs_beside, sort_key
from genrun.runs.open import OpenRun, open_run
from genrun.stages.code_figures import MAX_TSNE_CODES, CodedImages, has_codes
from genrun.types import Encodes, MovesParticles, Noises, Reconstructs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genrun.methods.method import Method
    from genrun.stages.context import RunContext

log = logging.getLogger("genrun")
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
    if look_alike(states.flatten(0, 1)):
        log.info("left out, because all their images look alike: %s.gif, %s.png", name, name)
        return {}
    return {f"{name}.gif": film(states), f"{name}.png": png_bytes(strip(states))}


@torch.no_grad()
def particles_figure(context: RunContext, samples: Tensor, labels: Tensor) -> bytes:
    """Draw particles to which the method was fitted beside new samples, as a PNG; the classes are in the same order on both sides.

    Args:
        samples: the first samples of the run, (n, C, H, W) uint8.
        labels: (n,); -1 where there are none.
    """
    method, n, class_names = context.method, COLUMNS**2, context.data.facts().class_names
    fitted, of_fitted = method.fitted_particles(len(samples))
    sides = []
    for images, of_class in ((fitted.cpu(), of_fitted), (samples, labels if method.num_classes else None)):
        order, names = torch.arange(len(images))[:n], None
        if of_class is not None:
            order = in_turn(of_class.cpu())[:n]
            rows = of_class.cpu()[order].split(COLUMNS)
            if all(len(row.unique()) == 1 for row in rows):  # a class may have fewer images than a row
                names = [class_names[row[0]] for row in rows]
        sides.append(image_grid(images[order], COLUMNS, row_names=names))
    return png_bytes(beside(sides, ["fitted particles", "new draws"]))


def in_turn(labels: Tensor) -> Tensor:
    """Return an order of the labels (n,) in which the first hundred are ten of the first class, ten of the second, and so on."""
    chosen = [(labels == label).nonzero().flatten()[:COLUMNS] for label in labels.unique()]
    return torch.cat(chosen)


@torch.no_grad()
def points_figure(context: RunContext, samples: Tensor) -> bytes:
    """Draw data of points (images of one pixel with three channels) and samples in space and in a plane, as a PNG.

    Args:
        samples: (n, 3, 1, 1) uint8.
    """
    method, test = context.method, context.data.test
    clouds = {"data": test.images(shuffled(len(test))[: len(samples)])}
    if isinstance(method, Encodes):
        codes = codes_of_images(method, test, shuffled(len(test))[: len(samples)], context.cfg.sample.chunk)
        if codes.shape[1] == 3:
            clouds["codes of the data"] = codes
    clouds["new draws"] = samples.float() / 255
    if isinstance(method, MovesParticles):
        clouds["fitted particles"] = method.fitted_particles(len(samples))[0]
    return png_bytes(point_clouds({name: images.flatten(1).cpu().numpy() for name, images in clouds.items()}))


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
    runs: list[tuple[dict[str, Any], str, OpenRun | None]] = list(
        zip(settings, option_labels(settings), [None, *others], strict=True)
    )
    runs.sort(key=lambda run: sort_key(run[0]))
    index = shuffled(len(context.data.test))[:COLUMNS]
    images, labels = context.data.test.images(index), context.data.test.labels[index]
    names, rows, scores, codings = ["image"], [images], {}, {}
    for _, name, run in runs:
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
        if not any(np.array_equal(codes, other) for other, _ in clouds.values()):  # runs may share an encoder
            clouds[name] = (codes, coded.labels[:MAX_TSNE_CODES].numpy())
        if isinstance(method, Encodes) and len(pair) == 2:
            ends = codes_of_images(method, test, pair, chunk)  # (2, D)
            weights = torch.linspace(0, 1, COLUMNS, device=ends.device)[:, None]
            between = coded.decoded((1 - weights) * ends[0] + weights * ends[1], torch.full((COLUMNS,), label))
            images = test.images(pair)
            line = torch.cat([images[:1], between, images[1:]])
            if not any(torch.equal(line, other.images) for other in lines):  # a refit has its parent's networks
                lines.append(Band(name, line))
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
