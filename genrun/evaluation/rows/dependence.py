"""Rows of samples that depend on each other: alike at a stride in the order of the file, or nearer to each other than real images are."""

from __future__ import annotations

from torch import Tensor

from genrun.evaluation.cache import as_tensors
from genrun.evaluation.features import Space
from genrun.evaluation.metrics.dependence import Dependence, serial_dependence
from genrun.evaluation.metrics.neighbours import Neighbours
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row
from genrun.evaluation.spread import of_share
from genrun.inference import seeded

INDEPENDENT, TWINS = "independent samples", "samples with a twin"
CLOSE = 0.01  # share of real images that are nearer to another one


def dependence_rows(
    real: RealImages,
    space: Space,
    images: Tensor,
    features: Tensor,
    labels: Tensor | None,
    among_samples: Neighbours,
    binary: bool = False,
) -> list[Row]:
    """Return rows of the share of independent samples, and of the share of samples with a twin.

    Args:
        real: the real images.
        space: the feature space.
        images: the samples (n, C, H, W) uint8, in the order in which they were drawn.
        features: of these samples (n, d).
        labels: (n,), the classes that they were drawn for; None: no labels.
        among_samples: the nearest neighbours of some of the samples among these.
        binary: compare with binarised real images.
    """
    n, compared = len(images), len(among_samples.distances)
    found = serial_dependence(features, labels, generator=seeded(0))

    def of_real() -> dict[str, Tensor]:
        test = serial_dependence(real.features(space, "test", binary)[:n], generator=seeded(0)).share
        of_train, of_test = (
            real.among(space, split, compared, 1, binary).distances[:, 0] for split in ("train", "test")
        )
        least = of_train.quantile(CLOSE).item()
        return as_tensors({"share": test, "least": least, "twins": (of_test < least).double().mean().item()})

    name = f"{space.hash[:16]}-dependence-{n}-{compared}{'-binary' if binary else ''}"
    known = {key: value.item() for key, value in real.statistics(name, of_real).items()}
    nearest = among_samples.distances[:, 0]
    return [
        Row(
            INDEPENDENT,
            found.share,
            known["share"],
            count=n,
            protocol="share, by likeness at any stride in the order of the file",
            note=in_words(found, n),
            best="high",
        ),
        Row(
            TWINS,
            ((nearest < known["least"]) | (nearest == 0)).double().mean().item(),
            known["twins"],
            count=compared,
            protocol=f"among {compared:,}, nearer to another one than {1 - CLOSE:.0%} of training images".replace(
                "%", " %"
            ),
            note=f"{repeated:,} exact repetitions" if (repeated := repetitions(images)) else "none is repeated exactly",
            best="low",
            floor_spread=of_share(known["twins"], compared),
        ),
    ]


def in_words(found: Dependence, n: int) -> str:
    """Say at which stride samples are alike."""
    if not found.stride:
        return "no stride at which they are alike"
    return (
        f"as {max(1, round(found.share * n)):,} independent ones: alike {found.stride:,} places apart, "
        f"correlation {found.correlation:.2g}, by chance at most {found.by_chance:.1g}"
    )


def repetitions(images: Tensor) -> int:
    """Return how many images (n, C, H, W) uint8 equal an earlier one in all pixels."""
    return len(images) - len({image.tobytes() for image in images.numpy()})
