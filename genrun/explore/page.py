"""The page on which a trained method is looked at."""

from __future__ import annotations

from collections.abc import Mapping

from genrun.data.images import Images
from genrun.explore.codes import REACH, SLIDERS, WAYS
from genrun.explore.explorer import LARGEST, Explorer
from genrun.report.render import read_template, render


def page(explorer: Explorer, title: Mapping[str, str], notice: str = "") -> str:
    """Return the HTML of the page for what an explorer can show.

    Args:
        title: `run`, `model` and `data`, the names of what is shown.
        notice: a line on what is missing; empty if nothing is.
    """
    facts, method = explorer.facts, explorer.method
    conditional = bool(method.num_classes)
    return render(
        "explore.html",
        scripts=[read_template("explore.js")],
        same_origin=True,
        title=title,
        notice=notice,
        views=list(explorer.views),
        class_names=list(facts.class_names),
        conditional=conditional,
        counts=counts(explorer.train, len(facts.class_names)),
        sources=explorer.sources(),
        ways=WAYS,
        sliders=SLIDERS,
        reach=REACH,
        native=max(method.image_shape[1:]),
        largest=LARGEST,
    )


def counts(train: Images | None, classes: int) -> list[int]:
    """Return the number of training images of each class, and then of all; nothing if they are not there."""
    if train is None:
        return []
    return [*(int((train.labels == label).sum()) for label in range(classes)), len(train)]
