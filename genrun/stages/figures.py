"""The `figures` stage: draw all figures that the method's capabilities allow."""

from __future__ import annotations

import logging
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genrun.evaluation.rejection import CERTAIN, recognised
from genrun.figures.classes import sorted_classes
from genrun.figures.gif import timelapse, zoom
from genrun.figures.grid import LAYOUT, beside, magnified, picture, png_bytes, with_row_names
from genrun.figures.plots import code_scatter, curves
from genrun.inference import grid_names, seeded
from genrun.methods.method import Method
from genrun.stages.closest_figures import closest_figures
from genrun.stages.code_figures import code_figures, combination_figures, has_codes, latent_figures, map_figures
from genrun.stages.context import RunContext
from genrun.stages.method_figures import (
    beside_figures,
    noise_figures,
    particles_figure,
    points_figure,
    reconstruction_figure,
    trajectory_figures,
)
from genrun.system.files import write_atomic
from genrun.types import Continuous, KeepsCodes, MovesParticles, Noises, Reconstructs, Trajectory

log = logging.getLogger("genrun")

SEARCHED_SAMPLES = 1000  # samples among which the figures look for one of each class
LARGE_PIXELS = 300  # height and width of an image above its training resolution


def figures(context: RunContext) -> list[Path]:
    """Write all figures that the method's capabilities allow to the run's folder `figures`, and return the files."""
    folder = context.folder
    made: dict[str, bytes] = {}
    epochs = [path for path in sorted(folder.samples.glob("epoch_*.png")) if is_picture(path)]
    rows = folder.metrics()
    terms = [name for row in rows for name in row if name.startswith(("train/", "val/"))]
    if len(terms) > len(set(terms)):  # a term of one epoch is a point, not a curve
        made["curves.png"] = png_bytes(curves(rows))
    if len(epochs) > 1:
        made["timelapse.gif"] = timelapse(epochs)
        first, last = (Image.open(path) for path in (epochs[0], epochs[-1]))
        row_names = grid_names(context.method, context.data.facts().class_names)
        if (
            row_names is not None and LAYOUT in first.info
        ):  # a program that makes files smaller may have removed the layout
            first = with_row_names(first, row_names)
        names = [f"epoch {int(path.stem.rpartition('_')[2])}" for path in (epochs[0], epochs[-1])]
        made["first_last.png"] = png_bytes(beside([first, last], names))
    if isinstance(context.method, Continuous):
        made |= continuous_figures(context)
    if isinstance(context.method, Trajectory):
        made |= trajectory_figures(context)
    if isinstance(context.method, Noises):
        made |= noise_figures(context)
    if has_codes(context.method):
        made |= latent_figures(context) | code_figures(context) | map_figures(context) | combination_figures(context)
    samples, labels = first_samples(context)
    if samples.shape[1:] == (3, 1, 1) and len(context.data.test):
        made["points.png"] = points_figure(context, samples)
    elif isinstance(context.method, MovesParticles):
        made["particles.png"] = particles_figure(context, samples, labels)
    made |= closest_figures(context, samples, labels)
    if isinstance(context.method, Reconstructs) and len(context.data.test):
        made["reconstruction.png"] = reconstruction_figure(context)
    made |= beside_figures(context)
    if context.judge.recipe:
        made["sorted.png"] = png_bytes(sorted_figure(context))
    codes_first = folder.figures / "codes_first.npz"
    before = first_codes(codes_first) if isinstance(context.method, KeepsCodes) else None
    if before is not None:
        after = context.method.stored_codes()[torch.from_numpy(before["index"])].cpu().numpy()
        labels = context.data.train.labels[before["index"]].numpy()
        if not np.array_equal(before["codes"], after):  # the first epoch may be the last
            names = context.data.facts().class_names
            made["codes.png"] = png_bytes(code_scatter(before["codes"], after, labels, names))
    for name, content in made.items():
        write_atomic(folder.figures / name, content)
    return [folder.figures / name for name in made]


def is_picture(path: Path) -> bool:
    """Return whether a file holds a whole picture; a damaged grid of an epoch is left out, because no training draws it again."""
    try:
        if not path.is_file():  # a pipe would never end
            raise OSError("not a file")
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        log.warning("%s is left out: %s", path, error)
        return False
    return True


def first_codes(path: Path) -> dict[str, np.ndarray] | None:
    """Return the codes after the first epoch and their places; None if the file is missing or damaged."""
    if not path.is_file():
        return None
    try:
        with np.load(path) as content:
            return {name: content[name] for name in ("codes", "index")}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        log.warning("%s is left out: %s", path, error)
        return None


def first_samples(context: RunContext) -> tuple[Tensor, Tensor]:
    """Return the first samples of the run, (n, C, H, W) uint8, and their labels (n,), -1 where there are none."""
    with np.load(context.folder.path / "samples.npz") as samples:
        images = torch.from_numpy(samples["images"][:SEARCHED_SAMPLES]).permute(0, 3, 1, 2)
        return images, torch.from_numpy(samples["labels"][:SEARCHED_SAMPLES])


def sorted_figure(context: RunContext) -> Image.Image:
    """Draw one sample of each class, sorted by the reference classifier."""
    images, _ = first_samples(context)
    names = context.data.facts().class_names
    return sorted_classes(images, *recognised(context.judge.classifier, images), names, CERTAIN)


def continuous_figures(context: RunContext) -> dict[str, bytes]:
    """Draw one image at its training resolution and at 300 pixels, and a zoom into it, by the name of the file.

    If the method is conditional, the image is of class 2 if there is such a class, otherwise of the last class.
    """
    method: Method = context.method
    label = min(2, method.num_classes - 1)
    labels = torch.tensor([label], device=method.device) if method.num_classes else None

    def render(resolution: int, window: tuple[int, int, int, int] | None = None) -> Tensor:
        generator = seeded(context.cfg.seed, device=method.device)
        return method.sample_at(1, resolution, labels, window=window, generator=generator)[0].cpu()

    trained = max(method.image_shape[1:])
    small = magnified(picture(render(trained)), LARGE_PIXELS)
    large = picture(render(LARGE_PIXELS))
    captions = [f"{trained}×{trained} pixels", f"{LARGE_PIXELS}×{LARGE_PIXELS} pixels"]
    return {
        "resolution.png": png_bytes(beside([small, large], captions)),
        f"{LARGE_PIXELS}px.png": png_bytes(large),
        "zoom.gif": zoom(render, smallest=trained),
    }
