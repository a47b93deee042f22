"""The `figures` stage: draw all figures that the method's capabilities allow."""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from genrun.evaluation.rejection import CERTAIN, recognised
from genrun.figures.classes import sorted_classes
from genrun.figures.gif import timelapse, zoom
from genrun.figures.grid import LAYOUT, beside, magnified, picture, png_bytes, with_row_names
from genrun.figures.plots import code_scatter, curves
from genrun.inference import grid_names, seeded
from genrun.methods.method import Method
from genrun.runs.folder import RunFolder
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
from genrun.system.console import with_progress
from genrun.system.files import write_atomic
from genrun.types import Continuous, KeepsCodes, MovesParticles, Noises, Reconstructs, Trajectory

log = logging.getLogger("genrun")

SEARCHED_SAMPLES = 1000  # samples among which the figures look for one of each class
LARGE_PIXELS = 300  # height and width of an image above its training resolution
POINT = (3, 1, 1)  # shape of an image that is a point
Fits = Callable[[Method, DictConfig, RunFolder], bool]


class Drawing(NamedTuple):
    """A drawing of one or several figures.

    Args:
        names: of the figures that it may give, without the endings of their files.
        fits: whether a run can have them, given its method, its configuration and its folder; the data may still have too few images.
        draw: draws them: file name → content.
    """

    names: tuple[str, ...]
    fits: Fits
    draw: Callable[[RunContext], dict[str, bytes]]


def figures(context: RunContext, only: Collection[str] | None = None) -> list[Path]:
    """Write the figures that the method's capabilities allow to the run's folder `figures`, and return the files.

    Args:
        only: names of the figures to write; None: all.
    """
    folder, made = context.folder, {}
    drawings = [
        drawing
        for drawing in DRAWINGS
        if (only is None or set(only) & set(drawing.names)) and drawing.fits(context.method, context.cfg, folder)
    ]
    if drawings:
        for drawing in with_progress(
            drawings, len(drawings), "drawing figures", context.console, lambda drawing: ", ".join(drawing.names)
        ):
            made |= drawing.draw(context)
    written = [name for name in made if only is None or name.partition(".")[0] in only]
    for name in written:
        write_atomic(folder.figures / name, made[name])
    return [folder.figures / name for name in written]


def possible(method: Method, cfg: DictConfig, folder: RunFolder) -> list[str]:
    """Return the names of the figures that a run can have, if its data has images enough, in the order in which they are drawn."""
    return [name for drawing in DRAWINGS if drawing.fits(method, cfg, folder) for name in drawing.names]


def curves_figure(context: RunContext) -> dict[str, bytes]:
    """Draw the terms of the loss over the epochs; a training of one epoch gives none."""
    rows = context.folder.metrics()
    terms = [name for row in rows for name in row if name.startswith(("train/", "val/"))]
    # a term of one epoch is a point, not a curve
    return {"curves.png": png_bytes(curves(rows))} if len(terms) > len(set(terms)) else {}


def epoch_figures(context: RunContext) -> dict[str, bytes]:
    """Draw the grids of the epochs as a film, and the first beside the last."""
    epochs = [path for path in sorted(context.folder.samples.glob("epoch_*.png")) if is_picture(path)]
    if len(epochs) < 2:
        return {}
    first, last = (Image.open(path) for path in (epochs[0], epochs[-1]))
    row_names = grid_names(context.method, context.data.facts().class_names)
    if row_names is not None and LAYOUT in first.info:  # a program that makes files smaller may have removed the layout
        first = with_row_names(first, row_names)
    names = [f"epoch {int(path.stem.rpartition('_')[2])}" for path in (epochs[0], epochs[-1])]
    return {"timelapse.gif": timelapse(epochs), "first_last.png": png_bytes(beside([first, last], names))}


def point_figures(context: RunContext) -> dict[str, bytes]:
    """Draw the data and the samples as points, if there are test points."""
    return {"points.png": points_figure(context, first_samples(context)[0])} if len(context.data.test) else {}


def particle_figures(context: RunContext) -> dict[str, bytes]:
    """Draw the particles of the training beside samples."""
    return {"particles.png": particles_figure(context, *first_samples(context))}


def sorted_figures(context: RunContext) -> dict[str, bytes]:
    """Draw one sample of each class, if there is a classifier for this data."""
    return {"sorted.png": png_bytes(sorted_figure(context))} if context.judge.recipe else {}


def codes_figure(context: RunContext) -> dict[str, bytes]:
    """Draw the codes of training images after the first epoch and at the end."""
    before = first_codes(context.folder.figures / "codes_first.npz")
    if before is None:
        return {}
    after = context.method.stored_codes()[torch.from_numpy(before["index"])].cpu().numpy()
    if np.array_equal(before["codes"], after):  # the first epoch may be the last
        return {}
    labels, names = context.data.train.labels[before["index"]].numpy(), context.data.facts().class_names
    return {"codes.png": png_bytes(code_scatter(before["codes"], after, labels, names))}


def reconstruction_figures(context: RunContext) -> dict[str, bytes]:
    """Draw reconstructions of test images, if there are any."""
    return {"reconstruction.png": reconstruction_figure(context)} if len(context.data.test) else {}


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


def able(capability: type) -> Fits:
    """Return the condition that the method has a capability."""
    return lambda method, cfg, folder: isinstance(method, capability)


def always(method: Method, cfg: DictConfig, folder: RunFolder) -> bool:
    return True


def coded(method: Method, cfg: DictConfig, folder: RunFolder) -> bool:
    return has_codes(method)


def of_points(method: Method, cfg: DictConfig, folder: RunFolder) -> bool:
    return method.image_shape == POINT


DRAWINGS = (  # in the order in which they are drawn
    Drawing(("curves",), always, curves_figure),
    Drawing(("timelapse", "first_last"), always, epoch_figures),
    Drawing(("resolution", f"{LARGE_PIXELS}px", "zoom"), able(Continuous), continuous_figures),
    Drawing(
        ("denoising",),
        lambda method, *_: isinstance(method, Trajectory) and isinstance(method, Noises),
        trajectory_figures,
    ),
    Drawing(
        ("sampling",),
        lambda method, *_: isinstance(method, Trajectory) and not isinstance(method, Noises),
        trajectory_figures,
    ),
    Drawing(("schedule", "noising"), able(Noises), noise_figures),
    Drawing(("latent_plane", "interpolation"), coded, latent_figures),
    Drawing(("components", "basis", "class_means", "priors"), coded, code_figures),
    Drawing(("tsne", "barcodes"), coded, map_figures),
    Drawing(("combinations", "generations", "matrix"), coded, combination_figures),
    Drawing(("points",), of_points, point_figures),
    Drawing(
        ("particles",),
        lambda method, *_: isinstance(method, MovesParticles) and method.image_shape != POINT,
        particle_figures,
    ),
    Drawing(
        ("closest_samples", "closest_training", "originality"),
        always,
        lambda context: closest_figures(context, *first_samples(context)),
    ),
    Drawing(("reconstruction",), able(Reconstructs), reconstruction_figures),
    Drawing(
        ("beside", "beside_curves", "beside_tsne", "beside_interpolation"),
        lambda method, cfg, folder: bool(cfg.run.get("beside")),
        beside_figures,
    ),
    Drawing(("sorted",), lambda method, cfg, folder: cfg.evaluation.get("classifier") is not None, sorted_figures),
    Drawing(("codes",), able(KeepsCodes), codes_figure),
)
