"""A row of the results table."""

from __future__ import annotations

import math
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One figure and what it takes to read it.

    Args:
        name: of the figure.
        value: None where it cannot be had; the note says why.
        floor: what real images get in the samples' place.
        floor_count: how many real images that was computed from, where they are not as many as the samples.
        spread: standard deviation over the draws or parts that the value is the mean of.
        count: images that it was computed from.
        protocol: against what, and how.
        best: `high`, `low`, or `real`: as real images.
        detail: more than a table shows, such as a value for each class.
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

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which has no NaN, without what is not there; name, value and note always are."""
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in self._asdict().items()
        }
        kept = {key: value for key, value in finite.items() if value not in (None, "")}
        return {"name": self.name, "value": finite["value"], **kept, "note": self.note}
