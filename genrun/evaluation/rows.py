"""A row of the results table."""

from __future__ import annotations

from typing import Any, NamedTuple


class Row(NamedTuple):
    """One figure and what it takes to read it.

    Args:
        name: of the figure.
        value: None where it cannot be had; the note says why.
        floor: what real images get in the samples' place.
        spread: standard deviation over the draws or parts that the value is the mean of.
        count: images that it was computed from.
        protocol: against what, and how.
        detail: more than a table shows, such as a value for each class.
    """

    name: str
    value: float | int | str | None
    floor: float | None = None
    spread: float | None = None
    count: int | None = None
    protocol: str = ""
    note: str = ""
    detail: list | None = None

    def plain(self) -> dict[str, Any]:
        """For JSON, without what is not there; name, value and note always are."""
        kept = {key: value for key, value in self._asdict().items() if value not in (None, "")}
        return {"name": self.name, "value": self.value, **kept, "note": self.note}
