"""Rejection sampling: draw from a method without labels and keep images of chosen classes that a classifier is sure of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import torch
from rich.console import Console
from torch import Tensor

from genrun.errors import Failed
from genrun.evaluation.features import Space
from genrun.evaluation.rows.recognition import logits_of
from genrun.inference import seeded

if TYPE_CHECKING:
    from genrun.methods.method import Method

CERTAIN = 0.995  # the document calls a digit with a lower confidence uncertain
CHUNK = 100  # images drawn at a time
DRAWS, LEAST_DRAWS = 200, 5000  # give up after 200 draws for each wanted image, but not before 5,000 draws


class Kept(NamedTuple):
    """The images that were found, their confidences and the number of images drawn."""

    images: Tensor  # (n, C, H, W) in [0, 1], in the order of the labels
    confidences: Tensor  # (n,)
    drawn: int  # images drawn in all


def recognised(classifier: Space, images: Tensor) -> tuple[Tensor, Tensor]:
    """Classify images (n, C, H, W) uint8; return the predicted class and its probability, (n,) each."""
    confidences, classes = logits_of(classifier, classifier(images)).softmax(1).max(1)
    return classes, confidences


@torch.no_grad()
def draw_classes(
    method: Method,
    labels: Sequence[int],
    classifier: Space,
    class_names: Sequence[str],
    console: Console,
    seed: int = 0,
    confidence: float = CERTAIN,
) -> Kept:
    """Draw an image for each label: the first that the classifier assigns to this class, not the best.

    Args:
        method: an unconditional method.
        labels: numbers of the wanted classes, in any order; a class may occur several times.
        classifier: the reference classifier.
        class_names: names of all classes, for the error message.
        console: where progress is shown.
        seed: seed of the draws.
        confidence: minimal probability of the predicted class for an image to be kept.

    Raises:
        Failed: too few images of a class were found.
    """
    wanted = Counter(labels)
    found: dict[int, list[tuple[Tensor, Tensor]]] = {label: [] for label in wanted}
    most = max(LEAST_DRAWS, DRAWS * len(labels))
    with console.status("drawing and sorting") as progress:
        for number in count():
            drawn, missing = number * CHUNK, [label for label in wanted if len(found[label]) < wanted[label]]
            if not missing:
                break
            if drawn >= most:
                lacking = ", ".join(f"{class_names[k]} ({len(found[k])} of {wanted[k]})" for k in sorted(missing))
                raise Failed(
                    f"given up after {drawn:,} draws: with a confidence of at least {confidence:g} too few were found of "
                    f"class {lacking}; try a lower --confidence, or train a conditional method"
                )
            progress.update(f"drawn {drawn:,}, kept {sum(map(len, found.values()))} of {len(labels)}")
            images = method.sample(CHUNK, generator=seeded(seed, number, method.device)).cpu()
            classes, sure = recognised(classifier, (images * 255).round().clamp(0, 255).to(torch.uint8))
            for place in (sure >= confidence).nonzero().flatten().tolist():
                label = int(classes[place])
                if len(found.get(label, ())) < wanted[label]:
                    found[label].append((images[place], sure[place]))
    in_turn = {label: iter(pairs) for label, pairs in found.items()}
    kept, confidences = zip(*(next(in_turn[label]) for label in labels), strict=True)
    return Kept(torch.stack(kept), torch.stack(confidences), drawn)
