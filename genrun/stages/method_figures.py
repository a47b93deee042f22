"""Draw figures of a method's capabilities: trajectories, noise, codes, reconstructions, comparison with other runs.

A function that returns several figures returns them as file name → content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genrun.data.images import Images, shuffled
from genrun.figures.compared import compared
from genrun.figures.components import components
from genrun.figures.grid import beside, image_grid, png_bytes
from genrun.figures.latent import interpolation, latent_plane
from genrun.figures.processes import film, schedule, strip
from genrun.inference import balanced_labels, codes_of_images, labels_for, seeded, training_codes
from genrun.maths.mixtures import ClassMixture
from genrun.report.compare import distinguishing_options, option_label, runs_beside, sort_key
from genrun.runs.open import OpenRun, open_run
from genrun.types import KeepsCodes, Noises, Reconstructs, Refits

if TYPE_CHECKING:
    from genrun.methods.method import Method
    from genrun.stages.context import RunContext

TRAJECTORY_IMAGES = 25  # images in a trajectory
MAX_PLANE_CODES = 500  # codes whose principal components span the latent plane
MAX_COMPONENT_CODES = 2000  # codes in the figure of principal components
MAX_UNIT_VECTORS = 64  # unit vectors that are decoded
COLUMNS = 10  # images in a row
MAX_INTERPOLATIONS = 8  # rows of the interpolation figure


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
def latent_figures(context: RunContext) -> dict[str, bytes]:
    """Draw images decoded over a plane of codes, and images decoded on lines between pairs of codes.

    The codes are those of test images. If a method keeps the codes of the training images, these are used instead, because it may take
    minutes to find other codes. If the method is conditional, the plane shows one class (class 2 if there is such a class, otherwise
    the last class), and both codes of a pair are of the same class.
    """
    method, made = context.method, {}
    kept = isinstance(method, KeepsCodes)
    split = context.data.train if kept else context.data.test
    order = shuffled(len(split))  # images may be sorted by class
    labels = split.labels[order]

    def codes_of(index: Tensor) -> Tensor:
        return (training_codes if kept else codes_of_images)(method, split, index, context.cfg.sample.chunk)

    label = min(2, method.num_classes - 1)
    index = order[labels == label] if method.num_classes else order
    if len(index) > 1:
        plane = latent_plane(
            codes_of(index[:MAX_PLANE_CODES]),
            lambda points: method.decode_codes(points, labels_for(torch.full((len(points),), label), method)),
        )
        made["latent_plane.png"] = png_bytes(plane)
    ends = order[choose_pairs(labels, same_class=method.num_classes > 0)]  # (rows, 2)
    if len(ends):

        def decode(points: Tensor) -> Tensor:
            columns = len(points) // len(ends)
            return method.decode_codes(points, labels_for(split.labels[ends[:, 0]].repeat_interleave(columns), method))

        images, codes = images_on_device(split, ends.flatten(), method), codes_of(ends.flatten())
        lines = interpolation(images.unflatten(0, (-1, 2)), codes.unflatten(0, (-1, 2)), decode)
        made["interpolation.png"] = png_bytes(lines)
    return made


@torch.no_grad()
def code_figures(context: RunContext) -> dict[str, bytes]:
    """Draw the codes of the classes in their principal components, and images decoded from codes that belong to no image.

    These are figures 3 and 5 to 7 of "Image Generation Using an Autoencoder", for any method with codes. A conditional decoder gets the
    label of the nearer class mean. For unit vectors it gets class 2 if there is such a class, otherwise the last class.
    """
    method, facts = context.method, context.data.facts()
    index = shuffled(len(context.data.train))
    labels = context.data.train.labels[index]
    most = labels[:MAX_COMPONENT_CODES]
    codes = training_codes(method, context.data.train, index[:MAX_COMPONENT_CODES], context.cfg.sample.chunk)
    classes = range(facts.num_classes)
    means = [codes[(most == k).to(codes.device)].mean(0) for k in classes]
    some = [pair for pair in ((1, 0), (4, 9)) if max(pair) in classes] or [(0, 1)][: facts.num_classes // 2]
    drawn = components(codes.cpu().numpy(), most.numpy(), facts.class_names, some)
    made = {"components.png": png_bytes(drawn)}

    basis = torch.eye(codes.shape[1], device=method.device)[:MAX_UNIT_VECTORS]
    label = torch.full((len(basis),), min(2, method.num_classes - 1))
    made["basis.png"] = png_bytes(image_grid(method.decode_codes(basis, labels_for(label, method)).cpu(), 16))

    if facts.num_classes > 1 and all(bool((most == k).any()) for k in classes):
        step = max(1, 3 * facts.num_classes // 5)  # for ten digits, 1 and 7 are a pair
        ends = [(k, (k + step) % facts.num_classes) for k in classes][:10]
        weights = torch.linspace(0, 1, 10, device=method.device)[:, None]
        lines = torch.cat([(1 - weights) * means[a] + weights * means[b] for a, b in ends])
        nearer = torch.tensor([[a] * 5 + [b] * 5 for a, b in ends]).flatten()
        names = [f"{facts.class_names[a]} → {facts.class_names[b]}" for a, b in ends]
        images = method.decode_codes(lines, labels_for(nearer, method)).cpu()
        made["class_means.png"] = png_bytes(image_grid(images, 10, row_names=names))
    if isinstance(method, Refits) and method.num_classes:
        gaussian = ClassMixture(method.num_classes, codes.shape[1], covariance_scale=0.5).to(method.device)
        gaussian.fit_roughly(codes, most)
        wanted = torch.arange(method.num_classes, device=method.device).repeat_interleave(10)[:100]
        noise = seeded(context.cfg.seed, device=method.device)
        left = method.decode_codes(gaussian.sample(wanted, generator=noise), wanted)
        right = method.sample(len(wanted), wanted, generator=seeded(context.cfg.seed, device=method.device))
        grids = [image_grid(images.cpu(), 10, scale=max(1, 42 // images.shape[3])) for images in (left, right)]
        made["priors.png"] = png_bytes(beside(grids, ["a Gaussian for each class, half its covariance", "samples"]))
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
    places = [int((labels == k).nonzero()[0]) for k in labels.unique().tolist()]
    shown = (samples[places] if len(places) > 1 else samples)[:COLUMNS].float().div(255).to(method.device)
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
def beside_figures(context: RunContext) -> dict[str, bytes]:
    """Compare this run with the runs that `run.beside` names: reconstructions of test images, and scores over the epochs.

    The reconstructions are as in figure 1 of "Image Generation Using an Autoencoder". Return an empty dict if there is no other run.
    """
    others = [open_run(other.path) for other in runs_beside(context.cfg, context.folder)]
    if not others:
        return {}
    settings = distinguishing_options([context.cfg, *(run.config for run in others)])
    runs: list[tuple[dict[str, Any], OpenRun | None]] = list(zip(settings, [None, *others], strict=True))
    runs.sort(key=lambda run: sort_key(run[0]))
    index = shuffled(len(context.data.test))[:COLUMNS]
    images, labels = context.data.test.images(index), context.data.test.labels[index]
    names, rows, scores = ["image"], [images], {}
    for setting, run in runs:
        name = ", ".join(option_label(key, value) for key, value in setting.items())
        method = context.method if run is None else run.method().to(context.method.device)
        if len(index) and isinstance(method, Reconstructs):
            rebuilt = method.reconstruct(images.to(method.device), labels_for(labels, method)).cpu()
            if not any(torch.equal(rebuilt, row) for row in rows):  # a refit has the same reconstructions as its parent
                names.append(name)
                rows.append(rebuilt)
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
    return made


def choose_pairs(labels: Tensor, *, same_class: bool, most: int = MAX_INTERPOLATIONS) -> Tensor:
    """Return the indices of pairs of images, (at most `most`, 2) int64; no image is used twice.

    Args:
        labels: (N,), -1 if the data has none.
        same_class: whether both images of a pair are of the same class; every class is used once before any is used again. False:
            they are of different classes as long as there are such pairs.
    """
    found: list[tuple[int, int]] = []
    if same_class:
        of_class = [(labels == label).nonzero().squeeze(1) for label in labels.unique()]
        found = [tuple(p[2 * k : 2 * k + 2].tolist()) for k in range(most) for p in of_class if len(p) >= 2 * k + 2]
    else:
        left = list(range(len(labels)))
        while len(left) > 1 and len(found) < most:
            first = left.pop(0)
            other = next((place for place in left if labels[place] != labels[first]), left[0])
            left.remove(other)
            found.append((first, other))
    return torch.tensor(found[:most], dtype=torch.int64).reshape(-1, 2)


def images_on_device(split: Images, index: Tensor, method: Method) -> Tensor:
    """Return the images of a split at these indices (n,), on the method's device: (n, C, H, W) in [0, 1]."""
    return split.images(index).to(method.device)
