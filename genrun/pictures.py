"""Figures of what a method can do beyond sampling: its trajectories, its noise, the space of its codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genrun.data.images import Images, shuffled
from genrun.figures.grid import png_bytes
from genrun.figures.latent import interpolation, latent_plane
from genrun.figures.processes import film, schedule, strip
from genrun.sampling import balanced_labels, seeded
from genrun.types import KeepsCodes, Noises

if TYPE_CHECKING:
    from genrun.methods.method import Method
    from genrun.run import Job

SHOWN = 25  # images of a trajectory
CODES = 500  # at most so many span the plane
ROWS = 8  # lines between two codes


@torch.no_grad()
def trajectory_figures(job: Job) -> dict[str, bytes]:
    """How samples come about, as a GIF and as a strip; classes in turn."""
    method: Method = job.method
    labels = balanced_labels(SHOWN, method.num_classes).to(method.device) if method.num_classes else None
    states = method.sample_trajectory(SHOWN, labels, generator=seeded(job.cfg.seed, device=method.device)).cpu()
    name = "denoising" if isinstance(method, Noises) else "sampling"
    return {f"{name}.gif": film(states), f"{name}.png": png_bytes(strip(states))}


@torch.no_grad()
def noise_figures(job: Job) -> dict[str, bytes]:
    """How test images turn to noise, and the schedule by which they do."""
    method = job.method
    made = {"schedule.png": png_bytes(schedule(method.noise_schedule()))}
    index = shuffled(len(job.data.test))[:SHOWN]  # images may be sorted by class
    if len(index):
        images = images_at(job.data.test, index, method)
        states = method.noise_trajectory(images, generator=seeded(job.cfg.seed, device=method.device))
        made["noising.gif"] = film(states.cpu())
    return made


@torch.no_grad()
def latent_figures(job: Job) -> dict[str, bytes]:
    """Images over a plane of codes, and between pairs of them.

    The codes are those of test images, or of training images where a method keeps these: it may take minutes to find others. The plane
    of a conditional method is that of one class, 2 where there is a class of that number, and its pairs are of one class.
    """
    method, made = job.method, {}
    kept = isinstance(method, KeepsCodes)
    split = job.data.train if kept else job.data.test
    order = shuffled(len(split))  # images may be sorted by class
    labels = split.labels[order]

    def codes_of(index: Tensor) -> Tensor:
        if kept:
            return method.stored_codes()[index.to(method.device)]
        return method.encode(images_at(split, index, method), given(split.labels[index], method))

    label = min(2, method.num_classes - 1)
    index = order[labels == label] if method.num_classes else order
    if len(index) > 1:
        plane = latent_plane(
            codes_of(index[:CODES]),
            lambda points: method.decode_codes(points, given(torch.full((len(points),), label), method)),
        )
        made["latent_plane.png"] = png_bytes(plane)
    ends = order[pairs(labels, alike=method.num_classes > 0)]  # (rows, 2)
    if len(ends):

        def decode(points: Tensor) -> Tensor:
            columns = len(points) // len(ends)
            return method.decode_codes(points, given(split.labels[ends[:, 0]].repeat_interleave(columns), method))

        images, codes = images_at(split, ends.flatten(), method), codes_of(ends.flatten())
        lines = interpolation(images.unflatten(0, (-1, 2)), codes.unflatten(0, (-1, 2)), decode)
        made["interpolation.png"] = png_bytes(lines)
    return made


def pairs(labels: Tensor, *, alike: bool, most: int = ROWS) -> Tensor:
    """Places of pairs of images, none twice: (at most `most`, 2) int64.

    Args:
        labels: (N,), -1 where there are none.
        alike: both of one class, and every class once before any comes again; False: of different classes while there are such.
    """
    found: list[tuple[int, int]] = []
    if alike:
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


def images_at(split: Images, index: Tensor, method: Method) -> Tensor:
    """(n, C, H, W) in [0, 1], on the method's device."""
    return split.images(index).to(method.device)


def given(labels: Tensor, method: Method) -> Tensor | None:
    """The labels as a conditional method is given them; None for an unconditional one."""
    return labels.to(method.device) if method.num_classes else None
