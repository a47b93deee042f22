"""Draw figures of the codes of any method that has codes and decodes them: where they lie, and what combinations of them show.

A function that returns several figures returns them as file name → content.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genrun.data.images import Images, shuffled
from genrun.evaluation.metrics.sparsity import hoyer_sparsity
from genrun.figures.alike import are_one_point, look_alike
from genrun.figures.bands import BLUE, GREEN, ORANGE, Band, bands, matrix
from genrun.figures.barcodes import barcodes
from genrun.figures.components import components
from genrun.figures.grid import beside, image_grid, png_bytes
from genrun.figures.latent import interpolation, latent_plane
from genrun.figures.tsne import FEWEST, tsne
from genrun.inference import codes_of_images, labels_for, seeded, training_codes
from genrun.maths.mixtures import ClassMixture
from genrun.types import Decodes, Encodes, KeepsCodes, Refits

if TYPE_CHECKING:
    from genrun.data.module import ImageData
    from genrun.methods.method import Method
    from genrun.stages.context import RunContext

log = logging.getLogger("genrun")
MAX_PLANE_CODES = 500  # codes whose principal components span the latent plane
MAX_TSNE_CODES = 1000  # codes in the figures of t-SNE and of bar codes
MAX_UNIT_VECTORS = 64  # unit vectors that are decoded
MAX_INTERPOLATIONS = 8  # rows of the interpolation figure
MAX_CLASSES = 10  # classes in the figures of combinations
SOURCES = (2, 3, 5)  # codes in a combination
MATRIX_SIDE = 8  # images along each side of the matrix


def has_codes(method: Method) -> bool:
    """Return whether a method has codes of images and can decode them."""
    return isinstance(method, Decodes) and isinstance(method, Encodes | KeepsCodes)


def shows_codes(name: str, codes: Tensor) -> bool:
    """Return whether a figure of codes (N, D) shows anything; if all are one point, log.txt says that it is left out."""
    if one_point := are_one_point(codes):
        log.info("left out, because all codes are equal: %s", name)
    return not one_point


class CodedImages:
    """The images whose codes are drawn: test images, or training images if the method keeps their codes.

    To find the codes of other images may take minutes for a method that keeps codes.

    Attributes:
        split: the images.
        order: (N,) the indices of all of them in the order in which they are drawn, because images may be sorted by class.
        labels: (N,) their labels in this order.
    """

    def __init__(self, method: Method, data: ImageData, chunk: int) -> None:
        self.method, self.chunk = method, chunk
        self.kept = isinstance(method, KeepsCodes)
        self.split: Images = data.train if self.kept else data.test
        self.order = shuffled(len(self.split))
        self.labels = self.split.labels[self.order]

    def of_class(self, label: int) -> Tensor:
        """Return the indices of the images of a class."""
        return self.order[self.labels == label]

    def codes(self, index: Tensor) -> Tensor:
        """Return the codes of the images at these indices (n,): (n, D)."""
        return (training_codes if self.kept else codes_of_images)(self.method, self.split, index, self.chunk)

    def decoded(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Decode codes (n, D); a conditional method gets their labels (n,) too: (n, C, H, W) on the CPU."""
        return self.method.decode_codes(codes, labels_for(labels, self.method)).cpu()

    def shows(self, name: str, images: Tensor, labels: Tensor) -> bool:
        """Return whether a figure of decoded images shows what codes do; if all look alike, log.txt says that it is left out.

        Args:
            images: (n, C, H, W).
            labels: (n,) the labels that they were decoded with. What differs by label alone is not what codes do.
        """
        if alike := look_alike(images, labels_for(labels, self.method)):
            log.info("left out, because what the codes decode to looks the same: %s", name)
        return not alike

    def sources(self, classes: int, n: int) -> tuple[Tensor, Tensor]:
        """Return the indices of n images of each class that has as many, (K, n), and these classes, (K,); at most ten."""
        found = {k: index[:n] for k in range(classes) if len(index := self.of_class(k)) >= n}
        labels = list(found)[:MAX_CLASSES]
        return torch.stack([found[k] for k in labels]) if labels else torch.empty(0, n).long(), torch.tensor(labels)


@torch.no_grad()
def latent_figures(context: RunContext) -> dict[str, bytes]:
    """Draw images decoded over a plane of codes, and images decoded on lines between pairs of codes.

    The codes are those of `CodedImages`. If the method is conditional, the plane shows one class
    (class 2 if there is such a class, otherwise the last class), and both codes of a pair are of the same class.
    """
    method, made = context.method, {}
    coded = CodedImages(method, context.data, context.cfg.sample.chunk)
    label = min(2, method.num_classes - 1)
    index = coded.of_class(label) if method.num_classes else coded.order
    shown: list[tuple[Tensor, Tensor]] = []  # the images of a figure and their labels

    def decode(points: Tensor, labels: Tensor) -> Tensor:
        shown.append((coded.decoded(points, labels), labels))
        return shown[-1][0]

    if len(index) > 1:
        codes = coded.codes(index[:MAX_PLANE_CODES])
        plane = latent_plane(codes, lambda points: decode(points, torch.full((len(points),), label)))
        if coded.shows("latent_plane.png", *shown[-1]):
            made["latent_plane.png"] = png_bytes(plane)
    ends = coded.order[choose_pairs(coded.labels, same_class=method.num_classes > 0)]  # (rows, 2)
    if len(ends):
        images, codes = coded.split.images(ends.flatten()), coded.codes(ends.flatten())
        of_rows = coded.split.labels[ends[:, 0]]
        lines = interpolation(
            images.unflatten(0, (-1, 2)),
            codes.unflatten(0, (-1, 2)),
            lambda points: decode(points, of_rows.repeat_interleave(len(points) // len(of_rows))),
        )
        if coded.shows("interpolation.png", *shown[-1]):
            made["interpolation.png"] = png_bytes(lines)
    return made


@torch.no_grad()
def code_figures(context: RunContext) -> dict[str, bytes]:
    """Draw the codes of the classes in their principal components, and images decoded from codes that belong to no image.

    These are figures 3 and 5 to 7 of "Image Generation Using an Autoencoder", for any method with codes. Components, means and Gaussians
    are of the codes of all training images. A conditional decoder gets the label of the nearer class mean. For unit vectors it gets
    class 2 if there is such a class, otherwise the last class. `context.class_pairs` says which classes are shown in pairs.
    """
    method, facts, made = context.method, context.data.facts(), {}
    coded = CodedImages(method, context.data, context.cfg.sample.chunk)
    labels, codes = context.data.train.labels, context.training_codes.to(method.device)
    classes, pairs = range(facts.num_classes), context.class_pairs
    means = [codes[(labels == k).to(codes.device)].mean(0) for k in classes]
    some = [pair for pair in ((1, 0), (4, 9)) if max(pair) in classes] or [(0, 1)][: facts.num_classes // 2]
    if shows_codes("components.png", codes):
        drawn = components(codes.cpu().numpy(), labels.numpy(), facts.class_names, pairs or some)
        made["components.png"] = png_bytes(drawn)

    basis = torch.eye(codes.shape[1], device=method.device)[:MAX_UNIT_VECTORS]
    label = torch.full((len(basis),), min(2, method.num_classes - 1))
    images = coded.decoded(basis, label)
    if coded.shows("basis.png", images, label):
        made["basis.png"] = png_bytes(image_grid(images, 16))

    step = max(1, 3 * facts.num_classes // 5)  # for ten digits, 1 and 7 are a pair
    ends = pairs or [(k, (k + step) % facts.num_classes) for k in classes][:10]
    if facts.num_classes > 1 and all(bool((labels == k).any()) for pair in ends for k in pair):
        weights = torch.linspace(0, 1, 10, device=method.device)[:, None]
        lines = torch.cat([(1 - weights) * means[a] + weights * means[b] for a, b in ends])
        nearer = torch.tensor([[a] * 5 + [b] * 5 for a, b in ends]).flatten()
        names = [f"{facts.class_names[a]} → {facts.class_names[b]}" for a, b in ends]
        images = coded.decoded(lines, nearer)
        if coded.shows("class_means.png", images, nearer):
            made["class_means.png"] = png_bytes(image_grid(images, 10, row_names=names))
    if isinstance(method, Refits) and method.num_classes:
        gaussian = ClassMixture(method.num_classes, codes.shape[1], covariance_scale=0.5).to(method.device)
        gaussian.fit_roughly(codes, labels)
        wanted = torch.arange(method.num_classes, device=method.device).repeat_interleave(10)[:100]
        noise = seeded(context.cfg.seed, device=method.device)
        left = coded.decoded(gaussian.sample(wanted, generator=noise), wanted)
        right = method.sample(len(wanted), wanted, generator=seeded(context.cfg.seed, device=method.device)).cpu()
        if coded.shows("priors.png", torch.cat([left, right]), torch.cat([wanted, wanted])):
            names, scale = [facts.class_names[k] for k in wanted[::10].tolist()], max(1, 42 // left.shape[3])
            grids = [image_grid(left, 10, scale=scale, row_names=names), image_grid(right, 10, scale=scale)]
            made["priors.png"] = png_bytes(beside(grids, ["a Gaussian for each class, half its covariance", "samples"]))
    return made


@torch.no_grad()
def map_figures(context: RunContext) -> dict[str, bytes]:
    """Draw codes by t-SNE, and how much each class uses each unit, at most ten classes. Too few images give no figure."""
    coded, facts = CodedImages(context.method, context.data, context.cfg.sample.chunk), context.data.facts()
    index = coded.order[:MAX_TSNE_CODES]
    if len(index) < FEWEST:
        return {}
    codes, labels = coded.codes(index).float().cpu(), coded.labels[:MAX_TSNE_CODES]
    what = f"t-SNE of the codes of {len(index):,} {'training' if coded.kept else 'test'} images"
    evenly = torch.linspace(0, facts.num_classes - 1, min(MAX_CLASSES, facts.num_classes)).round().int().tolist()
    groups = {facts.class_names[k]: codes[labels == k] for k in evenly if (labels == k).any()} or {"all": codes}
    sizes = torch.stack([of_class.abs().mean(0) for of_class in groups.values()])  # (K, D)
    means = torch.stack([of_class.mean(0) for of_class in groups.values()])
    captions = [f"{name}\nsparsity {one:.2f}" for name, one in zip(groups, hoyer_sparsity(sizes), strict=True)]
    if not shows_codes("tsne.png, barcodes.png", codes):
        return {}
    return {
        "tsne.png": png_bytes(tsne({what: (codes.numpy(), labels.numpy())}, facts.class_names)),
        "barcodes.png": png_bytes(barcodes(sizes.numpy(), means.numpy(), captions)),
    }


@torch.no_grad()
def combination_figures(context: RunContext) -> dict[str, bytes]:
    """Draw what the means of several images' codes decode to, as figures 7, 8 to 11 and 14 of ReGene. Too few images give no figure.

    - combinations.png: in each class the mean of 2, 3 and 5 codes, and below it the mean of their images' pixels.
    - generations.png: in each class two means of two codes; the mean of these two codes; if the method encodes, also the mean of the
      codes that their images have.
    - matrix.png: the means of all pairs of 8 images with 8 others, of class 2 if there is such a class, otherwise of the last class.
    """
    method, facts, made = context.method, context.data.facts(), {}
    coded = CodedImages(method, context.data, context.cfg.sample.chunk)

    index, labels = coded.sources(facts.num_classes, max(SOURCES))  # (K, 5), (K,)
    if facts.num_classes > 1 and len(index):
        images = coded.split.images(index.flatten()).unflatten(0, index.shape)  # (K, 5, C, H, W)
        codes = coded.codes(index.flatten()).unflatten(0, index.shape)  # (K, 5, D)
        groups = [
            [
                Band(f"mean of {n} codes", coded.decoded(codes[:, :n].mean(1), labels), BLUE),
                Band("mean of the pixels", images[:, :n].mean(1)),
            ]
            for n in SOURCES
        ]
        decoded = torch.cat([of_codes.images for of_codes, _ in groups])
        if coded.shows("combinations.png", decoded, labels.repeat(len(groups))):
            made["combinations.png"] = png_bytes(bands(groups, [facts.class_names[k] for k in labels]))

    index, labels = coded.sources(facts.num_classes, 4)
    if facts.num_classes > 1 and len(index):
        first = coded.codes(index.flatten()).unflatten(0, (-1, 2, 2)).mean(2)  # (K, 2, D)
        one, other = (coded.decoded(first[:, k], labels) for k in range(2))
        groups = [[Band("first: of two images", one), Band("first: of two others", other)]]
        groups.append([Band("from LS: of both codes", coded.decoded(first.mean(1), labels), ORANGE)])
        if isinstance(method, Encodes):
            again = [method.encode(shown.to(method.device), labels_for(labels, method)) for shown in (one, other)]
            groups.append([Band("from recon: encoded again", coded.decoded(sum(again) / 2, labels), GREEN)])
        decoded = torch.cat([band.images for group in groups for band in group])
        if coded.shows("generations.png", decoded, labels.repeat(len(decoded) // len(labels))):
            made["generations.png"] = png_bytes(bands(groups, [facts.class_names[k] for k in labels]))

    label = min(2, facts.num_classes - 1)  # -1 if there are no labels
    index = coded.of_class(label) if facts.num_classes else coded.order
    side = min(MATRIX_SIDE, len(index) // 2)
    if side > 1:
        index = index[: 2 * side]
        images, codes = coded.split.images(index), coded.codes(index)
        # (side², D), a row for each image at the left
        means = (codes[None, :side] + codes[side:, None]).flatten(0, 1) / 2
        of_class = torch.full((side**2,), label)
        cells = coded.decoded(means, of_class)
        if coded.shows("matrix.png", cells, of_class):
            made["matrix.png"] = png_bytes(matrix(images[:side], images[side:], cells))
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
