"""The stages after training: refit, sample, figures. Each sees the method only through its capabilities."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genrun.codes import training_codes
from genrun.errors import Failed
from genrun.evaluation.rejection import CERTAIN, recognised
from genrun.figures.classes import sorted_classes
from genrun.figures.gif import timelapse, zoom
from genrun.figures.grid import beside, image_grid, magnified, picture, png_bytes, to_uint8
from genrun.figures.plots import code_scatter, curves
from genrun.pictures import (
    beside_figures,
    code_figures,
    latent_figures,
    noise_figures,
    originality_figure,
    reconstruction_figure,
    trajectory_figures,
)
from genrun.progress import counted
from genrun.runs import atomic, write_atomic
from genrun.sampling import class_grid, sample_chunks, seeded
from genrun.types import Continuous, Decodes, Encodes, KeepsCodes, Noises, Reconstructs, Trajectory

if TYPE_CHECKING:
    from genrun.methods.method import Method
    from genrun.run import Job

SORTED = 1000  # samples among which one of each class is looked for
SHOWN_AT = 300  # pixels, of the figure that shows an image beyond its training resolution


def refit(job: Job) -> list[Path]:
    """Fit the prior to the codes of the training images."""
    from genrun.training import save_weights

    def progress(parts: Iterable[Any], n: int) -> Iterable[Any]:
        return counted(parts, n, f"fitting the prior to {len(codes):,} codes", job.console)

    labels = job.data.train.labels.to(job.method.device)
    train = job.data.train
    codes = training_codes(job.method, train, torch.arange(len(train)), job.cfg.sample.chunk)
    try:
        job.method.refit_prior(codes, labels, progress=progress)
    except ValueError as error:
        raise Failed(f"refit: {error}") from error
    save_weights(job.folder, job.method)
    return [job.folder.weights]


def sample(job: Job) -> list[Path]:
    """Leave samples.npz (`images` uint8 NHWC, `labels` int64, -1 where there is none) and the final grid."""
    cfg, folder, method = job.cfg, job.folder, job.method
    started = time.monotonic()
    chunks = sample_chunks(method, cfg.sample.n, cfg.seed, cfg.sample.chunk)
    made = [
        (to_uint8(images), labels)
        for images, labels in counted(
            chunks, -(-cfg.sample.n // cfg.sample.chunk), f"drawing {cfg.sample.n:,} samples", job.console
        )
    ]
    folder.record(sampling_seconds=round(time.monotonic() - started, 2))
    with atomic(folder.path / "samples.npz") as file:
        np.savez_compressed(
            file,
            images=np.concatenate([images for images, _ in made]),
            labels=torch.cat([labels for _, labels in made]).numpy(),
        )
    write_atomic(folder.samples / "final.png", png_bytes(image_grid(class_grid(method, 10, cfg.seed), 10)))
    return [folder.path / "samples.npz", folder.samples / "final.png"]


def figures(job: Job) -> list[Path]:
    """Leave every figure that the method's capabilities allow."""
    folder = job.folder
    made: dict[str, bytes] = {}
    epochs = sorted(folder.samples.glob("epoch_*.png"))
    if job.keeper.rows or (folder.path / "metrics.csv").is_file():
        made["curves.png"] = png_bytes(curves(folder.metrics()))
    if epochs:
        made["timelapse.gif"] = timelapse(epochs)
        first, last = (Image.open(path).convert("RGB") for path in (epochs[0], epochs[-1]))
        names = [f"epoch {int(path.stem.rpartition('_')[2])}" for path in (epochs[0], epochs[-1])]
        made["first_last.png"] = png_bytes(beside([first, last], names))
    if isinstance(job.method, Continuous):
        made |= continuous_figures(job)
    if isinstance(job.method, Trajectory):
        made |= trajectory_figures(job)
    if isinstance(job.method, Noises):
        made |= noise_figures(job)
    if isinstance(job.method, Decodes) and isinstance(job.method, Encodes | KeepsCodes):
        made |= latent_figures(job) | code_figures(job)
    if isinstance(job.method, Reconstructs) and len(job.data.test):
        made["reconstruction.png"] = reconstruction_figure(job)
    if (
        isinstance(job.method, Reconstructs)
        and isinstance(job.method, Encodes)
        and not isinstance(job.method, KeepsCodes)
    ):
        with np.load(folder.path / "samples.npz") as samples:
            images = torch.from_numpy(samples["images"][:SORTED]).permute(0, 3, 1, 2)  # (n, C, H, W)
            made["originality.png"] = originality_figure(job, images, torch.from_numpy(samples["labels"][:SORTED]))
    made |= beside_figures(job)
    if job.judge.recipe:
        made["sorted.png"] = png_bytes(sorted_figure(job))
    codes_first = folder.figures / "codes_first.npz"
    if isinstance(job.method, KeepsCodes) and codes_first.is_file():
        before = np.load(codes_first)
        after = job.method.stored_codes()[torch.from_numpy(before["index"])].cpu().numpy()
        labels = job.data.train.labels[before["index"]].numpy()
        made["codes.png"] = png_bytes(code_scatter(before["codes"], after, labels, job.data.facts().class_names))
    for name, content in made.items():
        write_atomic(folder.figures / name, content)
    return [folder.figures / name for name in made]


def sorted_figure(job: Job) -> Image.Image:
    """A sample of each class, as the reference classifier sees it."""
    with np.load(job.folder.path / "samples.npz") as samples:
        images = torch.from_numpy(samples["images"][:SORTED]).permute(0, 3, 1, 2)  # (n, C, H, W)
    return sorted_classes(images, *recognised(job.judge.classifier, images), job.data.facts().class_names, CERTAIN)


def continuous_figures(job: Job) -> dict[str, bytes]:
    """One image at its training resolution and at 300 pixels, and a zoom into it. A 2 where there is a class of that number."""
    method: Method = job.method
    label = min(2, method.num_classes - 1)
    labels = torch.tensor([label], device=method.device) if method.num_classes else None

    def render(resolution: int, window: tuple[int, int, int, int] | None = None) -> Tensor:
        generator = seeded(job.cfg.seed, device=method.device)
        return method.sample_at(1, resolution, labels, window=window, generator=generator)[0].cpu()

    trained = max(method.image_shape[1:])
    small = magnified(picture(render(trained)), SHOWN_AT)
    large = picture(render(SHOWN_AT))
    captions = [f"{trained}×{trained} pixels", f"{SHOWN_AT}×{SHOWN_AT} pixels"]
    return {
        "resolution.png": png_bytes(beside([small, large], captions)),
        f"{SHOWN_AT}px.png": png_bytes(large),
        "zoom.gif": zoom(render, smallest=trained),
    }
