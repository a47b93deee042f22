"""Rows from classifiers: the classes of samples, and how well a classifier learns from samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from genrun.data.images import Images
from genrun.evaluation.cache import as_tensors
from genrun.evaluation.classifier import Recipe, accuracy
from genrun.evaluation.features import Space
from genrun.evaluation.metrics.predictions import accuracy_by_class, class_counts, entropy, inception_score
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.row import Row
from genrun.evaluation.spread import of_share, resampled
from genrun.runs.identity import digest
from genrun.types import Classifies

if TYPE_CHECKING:
    from genrun.data.module import ImageData

SPLITS = 10  # parts for the inception score


def recognition_rows(
    real: RealImages, classifier: Space, features: Tensor, images: Tensor, labels: Tensor | None
) -> list[Row]:
    """Return rows of the classifier's accuracy, and of the samples' label accuracy, variety, class entropy, inception score.

    Args:
        real: the real images.
        classifier: the reference classifier.
        features: features (n, d) of the samples by the classifier.
        images: the samples (n, C, H, W) uint8.
        labels: (n,) int64, the classes that the samples were drawn for; None: no labels.
    """
    classes, names = real.facts.num_classes, real.facts.class_names
    logits, real_logits = logits_of(classifier, features), logits_of(classifier, real.features(classifier, "test"))
    predicted, real_predicted = logits.argmax(1), real_logits.argmax(1)
    known = (real_predicted == real.labels("test")).double().mean().item()
    note = f"{len(real_logits):,} test images; sha256 {classifier.hash[:8]}"
    if known < 2 / classes:
        note += "; near chance: rows of the classifier say nothing, raise evaluation.classifier.steps"
    rows = [Row("reference classifier, accuracy", known, count=len(real_logits), note=note)]
    if labels is not None:
        by_class = accuracy_by_class(predicted, labels, classes)
        value, spread_out = (predicted == labels).double().mean().item(), variety(real, images, labels)
        note = weakest(by_class, names)
        rows += [
            Row(
                "label accuracy",
                value,
                known,
                count=len(labels),
                note=note,
                best="high",
                detail=by_class,
                floor_spread=of_share(known, len(labels)),
            ),
            Row(
                "variety within a class",
                spread_out,
                1.0,
                count=len(labels),
                note="0: one image a class",
                best="real",
                floor_spread=variety_spread(real, len(labels)),
            ),
        ]
    counts = class_counts(predicted, classes)
    note = f"{min(counts):,} to {max(counts):,} a class; even: {math.log(classes):.4f} nats"
    floor = entropy(class_counts(real_predicted, classes))
    of_draws = resampled(
        lambda some: entropy(class_counts(real_predicted[some], classes)), len(real_predicted), len(logits)
    )
    rows.append(
        Row(
            "class entropy",
            entropy(counts),
            floor,
            count=len(logits),
            note=note,
            best="real",
            detail=counts,
            floor_spread=of_draws,
        )
    )
    same = min(len(logits), len(real_logits))  # the score falls with the number of images in a part
    if same >= 2 * SPLITS:
        mean, deviation = inception_score(logits[:same], SPLITS)
        floor, of_real = inception_score(real_logits[:same], SPLITS)
        of_real /= math.sqrt(SPLITS)  # of the mean of the parts
        protocol = f"{SPLITS} parts of {same // SPLITS:,}"
        rows.append(
            Row("inception score", mean, floor, None, deviation, same, protocol, best="real", floor_spread=of_real)
        )
    return rows


@torch.no_grad()
def logits_of(classifier: Space, features: Tensor) -> Tensor:
    """Return the classifier's logits (n, K), on the CPU, for features (n, d)."""
    return classifier.network.head(features.to(classifier.device)).cpu()


def variety(real: RealImages, images: Tensor, labels: Tensor) -> float | None:
    """Divide the within-class spread of images (n, C, H, W) uint8 by the spread of test images; None if undefined."""

    def of_test() -> dict[str, Tensor]:
        return as_tensors({"spread": spread(real.images("test").decoded().array, real.labels("test")) or 0.0})

    ours, theirs = spread(images, labels), real.statistics("spread", of_test)["spread"].item()
    return ours / theirs if ours is not None and theirs else None


def variety_spread(real: RealImages, n: int) -> float:
    """Return the deviation of the variety of n test images, drawn with replacement."""

    def of_draws() -> dict[str, Tensor]:
        images, labels = real.images("test").decoded().array, real.labels("test")
        whole = spread(images, labels)
        found = resampled(lambda some: spread(images[some], labels[some]), len(images), n) if whole else math.nan
        return as_tensors({"spread": found / whole if whole else math.nan})

    return real.statistics(f"variety-spread-{n}", of_draws)["spread"].item()


def spread(images: Tensor, labels: Tensor) -> float | None:
    """Return the root mean variance of a pixel within a class, averaged over classes of two images or more; else None."""
    members = [(labels == k).nonzero().squeeze(1) for k in labels.unique()]
    each = [(images[index].float() / 255).var(0).mean().sqrt() for index in members if len(index) > 1]
    return torch.stack(each).mean().item() if each else None


def training_rows(
    real: RealImages, recipe: Recipe, samples: Images | None, steps: int, device: torch.device
) -> list[Row]:
    """Return rows of two accuracies: a classifier trained on samples and tested on real images, and the reverse.

    Args:
        real: the real images.
        recipe: the classifier's network and how it is trained.
        samples: the samples with their labels; None if they have no labels.
        steps: training steps of each classifier.
        device: where the classifiers are trained.

    References:
        Shmelkov, Schmid and Alahari, How good is my GAN?, 2018 (GAN-train and GAN-test).
    """
    names = "train on generated, test on real", "train on real, test on generated"
    if samples is None:
        return [Row(name, None, note="the samples have no labels") for name in names]
    n, test = len(samples), real.images("test")
    by_real = classifier_of_real(real, recipe, n, steps, device)
    what = f"training a classifier on {n:,} samples"
    by_samples = recipe.train(samples, real.facts, what, real.console, device, steps)
    floor, protocol = accuracy(by_real, test), f"{steps} steps at most, {len(test):,} test images"
    values, stand_in = (accuracy(by_samples, test), accuracy(by_real, samples)), min(n, real.facts.train_size)
    return [
        Row(
            name,
            value,
            floor,
            None if stand_in == n else stand_in,
            count=n,
            protocol=protocol,
            best="high",
            floor_spread=of_share(floor, tested),
        )
        for name, value, tested in zip(names, values, (len(test), n), strict=True)
    ]


def classifier_of_real(real: RealImages, recipe: Recipe, n: int, steps: int, device: torch.device) -> nn.Module:
    """Return a classifier on the CPU that is trained on n real images at most, from the cache or newly trained.

    Args:
        real: the real images.
        recipe: the classifier's network and how it is trained.
        n: number of training images.
        steps: training steps at most.
        device: where the classifier is trained.
    """

    def make() -> dict[str, Tensor]:
        train = real.images("train", n)
        what = f"training a classifier on {len(train):,} real images"
        return recipe.train(train, real.facts, what, real.console, device, steps).state_dict()

    classifier = recipe.build(real.facts).eval()
    classifier.load_state_dict(real.network(f"trained-on-{n}-{digest([recipe.key(), steps])}", make))
    return classifier


def own_classifier_row(method: Classifies, data: ImageData, chunk: int) -> Row:
    """Return the row of a method's own classifier: the share of all test images in whose class it is right.

    Args:
        method: the trained method, which classifies.
        data: the data set, with classes.
        chunk: images at a time.
    """
    facts, test = data.facts(), data.test
    predicted = own_classes(method, test, chunk)
    by_class = accuracy_by_class(predicted, test.labels, facts.num_classes)
    value = (predicted == test.labels).double().mean().item()
    return Row(
        "own classifier, accuracy",
        value,
        count=len(test),
        protocol=f"{len(test):,} test images",
        note=weakest(by_class, facts.class_names),
        best="high",
        detail=by_class,
    )


@torch.no_grad()
def own_classes(method: Classifies, images: Images, chunk: int) -> Tensor:
    """Return the classes (n,) that a method's own classifier assigns to images, on the CPU; `chunk` images at a time."""
    parts = torch.arange(len(images)).split(chunk)
    return torch.cat([method.classify(images.images(part).to(method.device)).argmax(1).cpu() for part in parts])


def weakest(by_class: list[float | None], names: Sequence[str]) -> str:
    """Return a note on the class with the lowest accuracy among those that occur."""
    value, name = min(pair for pair in zip(by_class, names, strict=True) if pair[0] is not None)
    return f"weakest: {name}, {value:.3f}"
