"""Rows on codes: how well a linear classifier recognises their classes, and how sparse they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrun.data.images import shuffled
from genrun.evaluation.metrics.probe import linear_probe
from genrun.evaluation.metrics.sparsity import hoyer_sparsity
from genrun.evaluation.rows.row import Row
from genrun.inference import codes_of_images, training_codes
from genrun.types import Encodes, KeepsCodes

if TYPE_CHECKING:
    from genrun.data.module import ImageData
    from genrun.methods.method import Method

HELD_OUT = 5  # one in so many stored codes is held out from the fit


def code_rows(method: Method, data: ImageData, most: int, chunk: int) -> list[Row]:
    """Return the rows of a linear probe of the codes and of the codes' sparsity.

    The probe is fitted to codes of training images and tested with codes of test images. If the method keeps the codes of its
    training images, the probe is tested with some of these, because the search for other codes may be slow. A method without
    codes, or data with fewer than two classes, has no rows.

    Args:
        method: the trained method.
        data: the data set.
        most: codes at most in each of both sets; 0: no rows.
        chunk: images at a time.
    """
    kept = isinstance(method, KeepsCodes)
    if not most or not (kept or isinstance(method, Encodes)) or data.facts().num_classes < 2:
        return []
    order = shuffled(len(data.train))  # a training set may be sorted by class
    held_out = min(most, len(order) // HELD_OUT) if kept else 0
    fitted = order[held_out : held_out + most]
    tested = order[:held_out] if kept else shuffled(len(data.test))[:most]
    if not len(fitted) or not len(tested):
        return []
    split = data.train if kept else data.test
    codes = training_codes(method, data.train, fitted, chunk)
    test_codes = (training_codes if kept else codes_of_images)(method, split, tested, chunk)
    try:
        accuracy, note = linear_probe(codes, data.train.labels[fitted], test_codes, split.labels[tested]), ""
    except ValueError as error:  # one class, or codes that are not finite
        accuracy, note = None, str(error).splitlines()[0]
    which = "other stored training codes" if kept else "test codes"
    sparsity = hoyer_sparsity(test_codes).nanmean().item()
    return [
        Row(
            "linear probe of codes, accuracy",
            accuracy,
            count=len(tested),
            protocol=f"fitted to {len(fitted):,} training codes, tested with {len(tested):,} {which}",
            note=note,
            best="high",
        ),
        Row(
            "code sparsity",
            sparsity,
            count=len(tested),
            protocol=f"{len(tested):,} {which}, {test_codes.flatten(1).shape[1]:,} units",
            note="0: all units equal; 1: one unit",
        ),
    ]
