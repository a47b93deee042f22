"""The table of combinations of codes, and the rows of its most important numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from genrun.data.images import Stored
from genrun.errors import Failed, one_line
from genrun.evaluation.features import Space
from genrun.evaluation.metrics.predictions import inception_score
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.images import as_pixels, distance_of, reconstructed
from genrun.evaluation.rows.recognition import SPLITS, logits_of, own_classes
from genrun.evaluation.rows.row import Row
from genrun.inference import balanced_labels, seeded
from genrun.report.tables import number, with_deviation
from genrun.system.console import with_progress
from genrun.types import Classifies, Combines, Reconstructs

if TYPE_CHECKING:
    from genrun.methods.method import Method

DRAWS = 3  # of each setting, each with its own seed
# from the random stream of a draw to that of the next one; stream 0 and those after it draw the samples
STRIDE = 100_000
ACCURACY, OWN, SCORE = "label accuracy", "own classifier, accuracy", "inception score"
TO_TEST, TO_RECONSTRUCTIONS = "Fréchet distance to test", "Fréchet distance to reconstructions"
PASSES, TRIES = "latent check passes", "tries a generation"
METRICS = (ACCURACY, OWN, SCORE, TO_TEST, TO_RECONSTRUCTIONS, PASSES, TRIES)
BEST = {ACCURACY: "high", OWN: "high", TO_TEST: "low", TO_RECONSTRUCTIONS: "low", PASSES: "high", TRIES: "low"}
OF_SOME = (OWN, PASSES, TRIES)  # metrics that only a method with a classifier, or with checks, has
REAL, RECONSTRUCTIONS, COMBINATIONS = "real images", "reconstructions", "combinations"


class Setting(NamedTuple):
    """How codes are combined."""

    sources: int
    spread: str
    checked: bool = True

    def __str__(self) -> str:
        return f"{COMBINATIONS} of {self.sources}, {self.spread}{'' if self.checked else ', unchecked'}"


SETTINGS = (
    *(Setting(sources, spread) for spread in ("averaged", "kept") for sources in (2, 3, 5)),
    Setting(2, "averaged", checked=False),
)
# the metrics of each setting that are rows of the results; the table has all of them
SHOWN = {setting: [ACCURACY, TO_TEST] for setting in SETTINGS} | {
    Setting(2, "averaged"): [ACCURACY, OWN, TO_TEST, TO_RECONSTRUCTIONS, PASSES, TRIES],
    Setting(2, "averaged", checked=False): [ACCURACY, OWN, TO_TEST],
    Setting(3, "kept"): [TO_TEST],
    Setting(5, "kept"): [TO_TEST],
}


class Draw(NamedTuple):
    """What is kept of the n images of a draw: how the classifiers see them, and the tries that each of them took."""

    logits: Tensor  # (n, K), of the reference classifier
    features: Tensor  # (n, d), in the space of the distances
    own: Tensor | None  # (n,) int64, the classes that the method's own classifier assigns; None: it has none
    latent_tries: Tensor | None  # (n,) int64, see `genrun.types.Generations`
    tries: Tensor | None  # (n,) int64


def combinations(
    method: Method,
    real: RealImages,
    classifier: Space,
    space: Space,
    count: int,
    rebuilt: int,
    chunk: int,
    seed: int,
) -> tuple[list[Row], list[dict[str, Any]]]:
    """Draw images from combinations of codes, and judge them beside real images and reconstructions.

    Args:
        method: the trained method.
        real: the real images.
        classifier: the reference classifier.
        space: the feature space of the distances.
        count: images in a draw; 0: no table.
        rebuilt: test images at most that are reconstructed, if the method can.
        chunk: images at a time.
        seed: seed of the draws.

    Returns:
        Rows of the most important numbers, and a line for the real images, for the reconstructions and for each setting. Both are
        empty if the method does not combine codes.

    References:
        Gopalakrishnan et al., Classify and generate, 2021, figures 6a and 16, tables 2, 3 and 4.
    """
    if not count or not isinstance(method, Combines):
        return [], []
    test, train = (real.features(space, split) for split in ("test", "train"))
    logits = logits_of(classifier, real.features(classifier, "test"))
    floor = predictions(logits, real.labels("test"), count) | {TO_TEST: distance_of(train[:count], test)}
    if isinstance(method, Classifies):
        images = real.images("test")
        floor[OWN] = share_of(own_classes(method, images, chunk), images.labels)
    note = "accuracies and score of test images; distance of training images"
    lines, of_rebuilt = [{"images": REAL, "count": min(count, len(train)), "note": note} | floor], test[:0]
    if rebuilt and isinstance(method, Reconstructs):
        images = real.images("test", rebuilt)
        parts = [seen(method, classifier, space, as_pixels(part)) for _, part in reconstructed(method, images, chunk)]
        logits, of_rebuilt, own = (joined(each) for each in zip(*parts, strict=True))
        judged = predictions(logits, images.labels, count) | {TO_TEST: distance_of(of_rebuilt, test)}
        judged[OWN] = share_of(own, images.labels)
        lines.append({"images": RECONSTRUCTIONS, "count": len(of_rebuilt)} | judged)
    labels = balanced_labels(count, real.facts.num_classes)
    what = f"combinations of codes, {DRAWS} draws of {count:,} for each of {len(SETTINGS)} settings"
    for setting in with_progress(SETTINGS, len(SETTINGS), what, real.console):
        line: dict[str, Any] = {"images": COMBINATIONS, **setting._asdict(), "count": count}
        try:
            draws = list(drawn(method, classifier, space, setting, labels, chunk, seed))
        except Failed as error:
            lines.append(line | dict.fromkeys(METRICS) | {"note": one_line(error)})
            continue
        judged = [judge_draw(draw, labels, setting, test, of_rebuilt) for draw in draws]
        line["draws"] = len(draws)
        for metric in METRICS:
            line |= mean_and_deviation(metric, [values[metric] for values in judged])
        for name in ("latent_tries", "tries") if setting.checked else ():
            if any(getattr(draw, name) is None for draw in draws):
                continue
            per_draw = [tries_by_class(getattr(draw, name), labels, real.facts.num_classes) for draw in draws]
            key = f"{name.replace('_', ' ')} by class"
            line[key] = [statistics.fmean(of_class) for of_class in zip(*per_draw, strict=True)]
        lines.append(line)
    return rows_of(lines, len(test), space.name), lines


@torch.no_grad()
def drawn(
    method: Combines, classifier: Space, space: Space, setting: Setting, labels: Tensor, chunk: int, seed: int
) -> Iterator[Draw]:
    """Yield the draws of a setting, `DRAWS` of them, or one if nothing is checked.

    Raises:
        Failed: too many combinations of a class fail the method's checks.
    """
    for draw in range(DRAWS if setting.checked else 1):
        parts = []
        for place, part in enumerate(labels.split(chunk)):
            generator = seeded(seed, (draw + 1) * STRIDE + place, method.device)
            made = method.combine(part.to(method.device), **setting._asdict(), generator=generator)
            parts.append((*seen(method, classifier, space, as_pixels(made.images)), made.latent_tries, made.tries))
        yield Draw(*(joined(each) for each in zip(*parts, strict=True)))


def seen(method: object, classifier: Space, space: Space, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return how two classifiers and a feature space see images (n, C, H, W) uint8.

    Returns:
        The reference classifier's logits (n, K), the features (n, d), and the classes (n,) that the method's own classifier assigns, None
        if it has none.
    """
    images = Stored(array=pixels, labels=torch.full((len(pixels),), -1))
    own = own_classes(method, images, len(pixels)) if isinstance(method, Classifies) else None
    return logits_of(classifier, classifier(pixels)), space(pixels), own


def joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Return the parts as one tensor on the CPU; None if a part is None."""
    return None if any(part is None for part in parts) else torch.cat(list(parts)).cpu()


def share_of(predicted: Tensor | None, labels: Tensor) -> float | None:
    """Return the share of predicted classes (n,) that are the labels (n,); None without predictions."""
    return None if predicted is None else (predicted == labels).double().mean().item()


def predictions(logits: Tensor, labels: Tensor, most: int) -> dict[str, float | None]:
    """Return label accuracy and inception score of images with these logits (n, K) and labels (n,).

    Args:
        most: images at most for the score, which grows with their number.
    """
    score = inception_score(logits[:most], SPLITS)[0] if min(len(logits), most) >= 2 * SPLITS else None
    return {ACCURACY: share_of(logits.argmax(1), labels), SCORE: score}


def judge_draw(
    draw: Draw, labels: Tensor, setting: Setting, test: Tensor, of_rebuilt: Tensor
) -> dict[str, float | None]:
    """Return all metrics of a draw.

    The latent check passes in n of Σ latent_tries combinations: for each image, those up to and with the first whose code passes. What
    is drawn for the image after that, because the image itself failed its check, is not counted. A generation takes Σ tries / n
    combinations. A number is None if the setting or the method makes no such check.

    Args:
        labels: (n,), the classes that the images were drawn for.
        test, of_rebuilt: features of test images and of reconstructions.
    """
    n = len(labels)
    latent_tries, tries = (draw.latent_tries, draw.tries) if setting.checked else (None, None)
    return predictions(draw.logits, labels, n) | {
        OWN: share_of(draw.own, labels),
        TO_TEST: distance_of(draw.features, test),
        TO_RECONSTRUCTIONS: distance_of(draw.features, of_rebuilt),
        PASSES: None if latent_tries is None else n / latent_tries.sum().item(),
        TRIES: None if tries is None else tries.sum().item() / n,
    }


def tries_by_class(tries: Tensor, labels: Tensor, num_classes: int) -> list[int]:
    """Return the sum of the tries (n,) of each class, as the document's table 2 does."""
    return torch.zeros(num_classes, dtype=tries.dtype).index_add_(0, labels, tries).tolist()


def mean_and_deviation(metric: str, values: list[float | None]) -> dict[str, float | None]:
    """Return the mean of a metric over the draws and, if there are several, its deviation; a mean of nothing is None."""
    if None in values:
        return {metric: None}
    deviation = {f"{metric}, deviation": statistics.stdev(values)} if len(values) > 1 else {}
    return {metric: statistics.fmean(values)} | deviation


def rows_of(lines: list[dict[str, Any]], test: int, space: str) -> list[Row]:
    """Return the rows of the most important numbers of the table.

    Args:
        lines: of the table.
        test: number of test images.
        space: name of the feature space of the distances.
    """
    floor, made = lines[0], []
    notes = {line.get("note") for line in lines if line["images"] == COMBINATIONS}
    failed = notes.pop() if len(notes) == 1 else None  # such as a prior that cannot combine
    for line in lines[1:]:
        if failed and line["images"] == COMBINATIONS:
            continue
        if line["images"] == RECONSTRUCTIONS:
            name, shown = "reconstruction", [TO_TEST]
            protocol = f"{line['count']:,} against {test:,} test images"
        else:
            setting = Setting(line["sources"], line["spread"], line["checked"])
            name, shown = str(setting), SHOWN[setting]
            protocol = f"{line['draws']} × {line['count']:,}" if "draws" in line else ""
        for metric in shown:
            if line[metric] is None and metric in OF_SOME:
                continue
            row = Row(
                f"{name}: {metric} ({space})" if metric in (TO_TEST, TO_RECONSTRUCTIONS) else f"{name}: {metric}",
                line[metric],
                floor.get(metric),
                floor["count"] if metric == TO_TEST and floor["count"] != line["count"] else None,
                line.get(f"{metric}, deviation"),
                count=line["count"],
                protocol=protocol,
                note=line.get("note", "") or ("" if line[metric] is not None else "too few images for a covariance"),
                best=BEST[metric],
            )
            made.append(row)
    return [*made, Row(f"{COMBINATIONS} of codes", None, note=failed)] if failed else made


def combination_lines(lines: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Format the table as headings and lines of text: mean ± deviation over the draws."""
    headings = ["images", "codes", "spread", *METRICS, ""]
    made = []
    for line in lines:
        named = [line["images"], number(line["sources"]), line["spread"]] if "sources" in line else [line["images"]]
        note = line.get("note", "") or ("" if line.get("checked", True) else "the first combination, unchecked")
        values = []
        for metric in METRICS:
            values.append(with_deviation(line.get(metric), line.get(f"{metric}, deviation")))
        made.append([*named, *[""] * (3 - len(named)), *values, note])
    return headings, made
