"""A row of the results table."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Row(NamedTuple):
    """A metric and what is needed to interpret it.

    Args:
        name: name of the metric.
        value: its value; None if it cannot be computed, and the note says why.
        floor: value that real images get in place of the samples.
        floor_count: number of real images behind the floor, if it differs from the number of samples.
        spread: standard deviation over the draws or parts whose mean is the value.
        count: number of images that the value was computed from.
        protocol: what the samples were compared with, and how.
        best: the best value: `high`, `low`, or `real` (the value of real images).
        detail: data that the table does not show, such as a value for each class.
        floor_spread: standard deviation of the value of as many real images, from draw to draw (see `genrun.evaluation.spread`).
    """

    name: str
    value: float | int | str | None
    floor: float | None = None
    floor_count: int | None = None
    spread: float | None = None
    count: int | None = None
    protocol: str = ""
    note: str = ""
    best: str = ""
    detail: list | None = None
    floor_spread: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row for JSON: NaN and infinity become None, empty fields are left out except name, value and note."""
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in self._asdict().items()
        }
        kept = {key: value for key, value in finite.items() if value not in (None, "")}
        return {"name": self.name, "value": finite["value"], **kept, "note": self.note}
