"""The table of mixed training: a classifier's accuracy when generations replace its training images, or are added to them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from genrun.data.images import Images, Stored, shuffled
from genrun.errors import Refused
from genrun.evaluation.classifier import Recipe, accuracy
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.recognition import classifier_of_real
from genrun.evaluation.rows.row import Row
from genrun.evaluation.spread import of_share

NAME = "mixed training, accuracy"


def check_shares(shares: Sequence[float], steps: int) -> None:
    """Check the shares of original images in mixed training sets.

    Args:
        shares: from 0 to 2; empty: no mixed training.
        steps: training steps of each classifier; 0: none is trained.

    Raises:
        Refused: a share is out of range, or no classifier is trained.
    """
    for share in shares:
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 2:
            raise Refused(f"evaluation.mixed_training: expected shares from 0 to 2, got {share!r}")
    if shares and not steps:
        raise Refused(
            "evaluation.mixed_training: expected a reference classifier and evaluation.train_on_generated above 0, got none"
        )


def mixed_training(
    real: RealImages, recipe: Recipe, samples: Images | None, shares: Sequence[float], steps: int, device: torch.device
) -> tuple[list[Row], list[dict[str, float | int]]]:
    """Train a classifier for each share of original images, and test it on real images.

    N is the number of samples, or of training images if there are fewer. For a share s ≤ 1, the set has N s originals and
    N (1 - s) samples. For s > 1, it has N originals and N (s - 1) samples. Every classifier takes the same number of steps.

    Args:
        real: the real images.
        recipe: the classifier's network and how it is trained.
        samples: the samples with their labels; None if they have no labels.
        shares: s of each set, from 0 to 2; empty: no table.
        steps: training steps of each classifier at most.
        device: where the classifiers are trained.

    Returns:
        A row for the largest share, beside the accuracy with originals only, and a line for each share.

    References:
        Gopalakrishnan et al., Classify and generate, 2021, section 6.8 and figure 17.
    """
    if not shares:
        return [], []
    if samples is None:
        return [Row(NAME, None, note="the samples have no labels")], []
    n, test = min(len(samples), real.facts.train_size), real.images("test")
    order = shuffled(len(samples))  # a file may be sorted by class
    steps = min(steps, recipe.epochs * max(1, n // recipe.batch_size))  # larger sets would allow more
    table: list[dict[str, float | int]] = []
    for share in sorted(set(shares)):
        originals = round(n * min(share, 1))
        generations = n - originals if share <= 1 else round(n * (share - 1))
        if generations:
            parts = [part.decoded() for part in (real.images("train", originals), samples.take(order[:generations]))]
            mixed = Stored(
                array=torch.cat([part.array for part in parts]), labels=torch.cat([part.labels for part in parts])
            )
            what = f"training a classifier on {originals:,} original and {generations:,} generated images"
            network = recipe.train(mixed, real.facts, what, real.console, device, steps)
        else:
            network = classifier_of_real(real, recipe, n, steps, device)
        value = accuracy(network, test)
        table.append({"share": share, "originals": originals, "generations": generations, "accuracy": value})
    last, alone = table[-1], next((line["accuracy"] for line in table if line["share"] == 1), None)
    row = Row(
        NAME,
        last["accuracy"],
        alone,
        None if alone is None or last["originals"] == n else n,
        count=last["originals"] + last["generations"],
        protocol=f"{last['originals']:,} originals and {last['generations']:,} generations, {steps} steps",
        note="real: originals alone" if alone is not None else "",
        best="high",
        floor_spread=None if alone is None else of_share(alone, len(test)),
    )
    return [row], table
