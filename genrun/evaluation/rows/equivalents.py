"""A distance in plain words: how much real images would have to be blurred, or put in fog, to be as far from real images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from genrun.evaluation.features import Space
from genrun.evaluation.ladders import Batch, ladders
from genrun.evaluation.metrics.frechet import frechet_distance, moments
from genrun.evaluation.real import RealImages
from genrun.evaluation.rows.comparison import TO_TEST
from genrun.evaluation.rows.row import Row
from genrun.inference import seeded
from genrun.report.verdict import as_real
from genrun.system.console import say

IMAGES = 1000  # training images at most that are spoilt
WORDS = {"blur": "blurred by {} pixel", "fog, even": "in fog of {}"}  # ladder → what is said of an amount
IGNORES = ("robust classifier",)  # feature spaces that learnt to ignore blur and fog, and so are no witnesses of them
SEEN = {"blur": 0.4, "fog, even": 0.03}  # ladder → least amount that a person sees, if barely (see `ladders`)
APART = 3  # two witnesses whose amounts differ by a larger factor disagree


def in_words(rows: Sequence[Row], real: RealImages, spaces: Sequence[Space]) -> list[Row]:
    """Return the rows, with the equivalents of each Fréchet distance to test images in its note.

    If the equivalents in two of these spaces, both witnesses of blur and fog, differ by more than a factor of three, the first of
    these rows says so.
    """
    by_name = {row.name: row for row in rows}
    found = {
        space.name: amounts
        for space in spaces
        if (row := by_name.get(f"{TO_TEST} ({space.name})")) and (amounts := equivalents(row, real, space))
    }
    notes = {f"{TO_TEST} ({name})": spoken(amounts) for name, amounts in found.items()}
    if said := disagreement({name: amounts for name, amounts in found.items() if name not in IGNORES}):
        first = next(iter(notes))
        notes[first] = f"{notes[first]}; {said}"
    return [row._replace(note=notes[row.name]) if row.name in notes else row for row in rows]


def equivalents(row: Row, real: RealImages, space: Space) -> dict[str, tuple[float, bool]]:
    """Return for each ladder the amount at which real images are as far from test images as the samples.

    The distance of the same images without damage is subtracted from the distances of the ladder, and the floor of the row from its
    value, because both grow when there are fewer images. Between two steps the root of the distance is taken as linear. Samples that
    cannot be told from real images by this distance are not further off.

    Returns:
        ladder → amount, and whether the samples are even further than the last step; empty if the distance or its floor is missing.
    """
    if row.value is None or row.floor is None:
        return {}
    curves = curves_of(real, space)
    excess, found = 0.0 if as_real(row._asdict()) else max(row.value - row.floor, 0.0) ** 0.5, {}
    for name, (amounts, distances) in curves.items():
        further = excess > distances[-1]
        found[name] = (float(np.interp(excess, distances, amounts)), bool(further))
    return found


def curves_of(real: RealImages, space: Space) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each ladder its amounts and the roots of their distances beyond that of undamaged images, both from 0 and rising."""
    test = real.features(space, "test")
    if min(IMAGES, real.facts.train_size, len(test)) <= space.num_features:
        return {}

    def make() -> dict[str, torch.Tensor]:
        say(real.console, f"measuring blur and fog in {space.name} features, once for this data")
        images = real.images("train", IMAGES).decoded().array
        batch, reference = Batch(images, torch.full((len(images),), -1)), moments(test)
        undamaged, made = frechet_distance(moments(space(images)), reference), {}
        for one in ladders(images, 0):
            if one.name in WORDS:
                spoilt = (step.spoil(batch, seeded(0)).images for step in one.steps)
                beyond = [frechet_distance(moments(space(some)), reference) - undamaged for some in spoilt]
                made[one.name] = torch.tensor([[step.amount for step in one.steps], beyond], dtype=torch.float64)
        return made

    found = real.statistics(f"{space.hash[:16]}-equivalents", make)
    curves = {name: curve(*found[name].numpy()) for name in WORDS}
    return {name: (amounts, distances) for name, (amounts, distances) in curves.items() if len(amounts) > 1}


def curve(steps: np.ndarray, beyond: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the amounts of a ladder and the roots of its distances beyond the undamaged ones, both from 0 and rising.

    Args:
        steps: the amounts of the steps.
        beyond: their distances less that of the undamaged images.
    """
    amounts = np.concatenate([[0.0], steps])
    rising = np.maximum.accumulate(np.concatenate([[0.0], beyond.clip(min=0)]))
    # of several amounts with the same distance the smallest is said
    first = np.concatenate([[True], np.diff(rising) > 0])
    return amounts[first], np.sqrt(rising[first])


def spoken(amounts: dict[str, tuple[float, bool]]) -> str:
    """Say equivalents: `as far as real images blurred by 0.7 pixel, or in fog of 0.05`."""
    if not any(amount for amount, _ in amounts.values()):
        return "no further off than real images"
    return "as far as real images " + ", or ".join(
        words.format(in_digits(*amounts[name])) for name, words in WORDS.items() if name in amounts
    )


def in_digits(amount: float, further: bool) -> str:
    """Say an amount: `0.7`, `less than 0.01`, or `more than 1.5` where the ladder ends."""
    if further:
        return f"more than {amount:.2g}"
    return f"{amount:.2g}" if amount >= 0.01 or not amount else "less than 0.01"


def disagreement(found: dict[str, dict[str, tuple[float, bool]]]) -> str:
    """Say in one sentence which witness sees less than a third of what another sees; empty if they agree, or nobody would see either.

    Args:
        found: feature space → its equivalents.
    """
    for name in WORDS:
        each = {space: max(amounts[name][0], 1e-9) for space, amounts in found.items() if name in amounts}
        if len(each) < 2:
            continue
        least, most = min(each, key=each.get), max(each, key=each.get)
        if each[most] > max(SEEN[name], APART * each[least]):
            more, less = (WORDS[name].format(in_digits(*found[space][name])) for space in (most, least))
            return f"the witnesses disagree: in the {most} features the samples are as {more}, in the {least} features as {less}"
    return ""
