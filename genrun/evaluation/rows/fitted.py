"""Rows of the samples to which a method was fitted, beside those of new samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from genrun.evaluation.rows.comparison import TO_TEST
from genrun.evaluation.rows.recognition import logits_of
from genrun.evaluation.rows.row import Row
from genrun.figures.grid import to_uint8
from genrun.types import MovesParticles

if TYPE_CHECKING:
    from genrun.evaluation.judge import Judge
    from genrun.methods.method import Method

COMPARED = (TO_TEST, "coverage")


@torch.no_grad()
def fitted_rows(method: Method, judge: Judge, n: int) -> list[Row]:
    """Return rows of at most n fitted particles, if the method has some: their distance, coverage and label accuracy.

    They are computed like those of the samples, so a row that is much better than that of the samples shows that the method fits its
    particles and not their distribution.
    """
    space = judge.headline if isinstance(method, MovesParticles) else None
    if space is None:
        return []
    images, labels = method.fitted_particles(n)
    images = torch.from_numpy(to_uint8(images.cpu())).permute(0, 3, 1, 2)
    features = space(images, judge.console, f"{space.name} features of {len(images):,} fitted particles")
    rows = []
    if labels is not None and judge.recipe:
        right = logits_of(judge.classifier, judge.classifier(images)).argmax(1) == labels.cpu()
        rows.append(Row("label accuracy", right.double().mean().item(), count=len(images), best="high"))
    rows += [row for row in judge.comparison.rows(judge.real, space, features) if row.name.startswith(COMPARED)]
    return [row._replace(name=f"fitted particles: {row.name}") for row in rows if "training" not in row.name]
