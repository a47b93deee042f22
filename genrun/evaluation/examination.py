"""The examination of the judge: real images are spoilt step by step, and its distances must agree with the eye."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

from genrun.errors import Refused
from genrun.evaluation.features import Space
from genrun.evaluation.judge import Judge
from genrun.evaluation.ladders import IMAGE, INVISIBLE, LABELS, PLAIN, VARIETY, Batch, ladders
from genrun.evaluation.metrics.frechet import frechet_distance, moments
from genrun.evaluation.metrics.neighbours import Manifold, manifold
from genrun.evaluation.rows.recognition import logits_of
from genrun.inference import seeded
from genrun.report.tables import number
from genrun.system.console import with_progress

MOST = 2000  # held-out images at most that are spoilt
COMPARED = 1000  # of these at most are compared by their neighbours
NEIGHBOURS = 5  # k of precision, recall and coverage
NEAR, FAR = 2, 10  # times the floor: what nobody sees is at most so far, what is plainly visible at least
WOBBLE = 0.1  # of the floor: a step may be nearer than the one before by this much, by chance
LOST = 0.9  # of the precision of real images: images that are plainly blurred or in fog have at most this
KEPT = 0.05  # precision at most that real images lose when some are missing
MISSED = 0.02  # recall and coverage at least that real images lose then
REAL = "real images"


class Seen(NamedTuple):
    """What the judge says of a step of a ladder.

    Args:
        ladder, spoils, amount, mark: of the step; the first step of all has no damage and the mark "".
        distances: feature space → Fréchet distance to test images.
        neighbours: feature space → precision, recall, density and coverage.
        label_accuracy: share of images in whose class the reference classifier puts them, for real images and wrong labels; None without
            classes.
    """

    ladder: str
    spoils: str
    amount: float
    mark: str
    distances: dict[str, float]
    neighbours: dict[str, Manifold]
    label_accuracy: float | None

    def __str__(self) -> str:
        return f"{self.ladder} {self.amount:g}"


def examined(judge: Judge) -> Iterator[Seen]:
    """Yield what the judge says of held-out real images, and of each step of each ladder of them."""
    kept_back = judge.real.images("validation", MOST).decoded()
    real = Batch(kept_back.array, kept_back.labels)
    for split, n in (("held-out", len(real.images)), ("test", len(judge.real.images("test")))):
        if n <= (most := judge.max_features()):
            raise Refused(f"the examination needs more than {most} {split} images, as many as features, got {n}")
    classes = judge.facts.num_classes
    steps = [(one.name, one.spoils, step) for one in ladders(real.images, classes) for step in one.steps]
    yield seen(judge, real, REAL, "", 0.0, "")
    for name, spoils, step in with_progress(steps, len(steps), "spoiling real images", judge.console):
        yield seen(judge, step.spoil(real, seeded(judge.seed)), name, spoils, step.amount, step.mark)


def seen(judge: Judge, batch: Batch, ladder: str, spoils: str, amount: float, mark: str) -> Seen:
    """Judge a batch of images in every feature space."""
    distances, neighbours = {}, {}
    for space in judge.spaces():
        features, test = space(batch.images), judge.real.features(space, "test")
        if min(len(features), len(test)) > space.num_features:
            distances[space.name] = frechet_distance(moments(features), moments(test))
        same = min(len(features), len(test), COMPARED)
        neighbours[space.name] = manifold(features[:same], test[:same], NEIGHBOURS)
    accuracy = label_accuracy(judge, batch) if ladder == REAL or spoils == LABELS else None
    return Seen(ladder, spoils, amount, mark, distances, neighbours, accuracy)


def label_accuracy(judge: Judge, batch: Batch) -> float | None:
    """Return the share of images in whose class the reference classifier puts them; None without a classifier."""
    if not judge.recipe:
        return None
    classifier: Space = judge.classifier
    predicted = logits_of(classifier, classifier(batch.images)).argmax(1)
    return (predicted == batch.labels).double().mean().item()


def failures(steps: Sequence[Seen], space: str) -> dict[str, list[str]]:
    """Return for each criterion the steps that fail it in a feature space; no steps if it is passed.

    Args:
        steps: what `examined` yields.
        space: name of the feature space.
    """
    real, *spoilt = steps
    floor, of_real = real.distances[space], real.neighbours[space]
    images = [step for step in spoilt if step.spoils == IMAGE and space in step.distances]
    invisible, plain = ([step for step in images if step.mark == mark] for mark in (INVISIBLE, PLAIN))
    worst = max((step.distances[space] for step in invisible), default=floor)

    def times(step: Seen) -> float:
        return step.distances[space] / floor

    def named(found: Sequence[Seen]) -> list[str]:
        return [f"{step} ({times(step):.1f})" for step in found]

    def precision(step: Seen) -> float:
        return step.neighbours[space].precision

    falls = []
    for name, members in groupby(images, key=lambda step: step.ladder):
        values = [1.0, *(times(step) for step in members)]
        if any(later < earlier - WOBBLE * max(1, earlier) for earlier, later in pairwise(values)):
            falls.append(name)
    unclear = [step for step in plain if step.ladder.startswith(("fog", "blur"))]
    blind = [step for step in spoilt if step.spoils == VARIETY and not loses_variety(step.neighbours[space], of_real)]
    labels = [
        step
        for step in spoilt
        if step.spoils == LABELS and real.label_accuracy and step.label_accuracy > real.label_accuracy - step.amount / 2
    ]
    return {
        "every ladder rises": falls,
        f"invisible: at most {NEAR} × the floor": named([step for step in invisible if times(step) > NEAR]),
        f"plain: at least {FAR} × the floor": named([step for step in plain if times(step) < FAR]),
        "all that is plain is worse than all that is invisible": named(
            [step for step in plain if step.distances[space] <= worst]
        ),
        "fog and blur lower the precision": [
            f"{step} ({precision(step):.2f})" for step in unclear if precision(step) > LOST * of_real.precision
        ],
        "missing variety lowers recall and coverage, not precision": [str(step) for step in blind],
        "wrong labels lower the label accuracy": [str(step) for step in labels],
    }


def loses_variety(found: Manifold, real: Manifold) -> bool:
    """Return whether recall and coverage, and not precision, say that variety is missing."""
    return (
        found.precision >= real.precision - KEPT
        and found.recall <= real.recall - MISSED
        and found.coverage <= real.coverage - MISSED
    )


def examination_lines(steps: Sequence[Seen], names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the lines of the table of the examination; a distance is given in times of the floor."""
    headings = ["damage", "amount", "a person sees it", *(f"Fréchet {name}, × floor" for name in names)]
    headings += [f"precision, recall, coverage {name}" for name in names]
    lines = []
    for step in steps:
        times = [step.distances[name] / steps[0].distances[name] if name in step.distances else None for name in names]
        near = [step.neighbours[name] for name in names]
        lines.append(
            [
                step.ladder,
                number(step.amount) if step.mark else "",
                step.mark,
                *(f"{value:.3g}" if value is not None else "–" for value in times),
                *(f"{found.precision:.2f}, {found.recall:.2f}, {found.coverage:.2f}" for found in near),
            ]
        )
    return headings, lines


def criteria_lines(steps: Sequence[Seen], names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return the headings and the lines of the table of the criteria: passed, or the steps that fail."""
    failed = [failures(steps, name) for name in names]
    lines = [[criterion, *("; ".join(of[criterion]) or "passed" for of in failed)] for criterion in failed[0]]
    return ["criterion", *names], lines
