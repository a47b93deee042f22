"""The rows of results.json in groups, with names that fit the screen.

The group of a metric is decided here, by its name, so that the results of earlier runs have groups too.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

METHOD = "method"  # the group of metrics that are not listed below, such as those of a method's `diagnose`
JUDGE = "the judge itself"  # metrics that say nothing of the samples
GROUPS = {  # group → its metrics, without the feature space and what else follows in brackets, after a comma or a colon
    "fidelity": (
        "label accuracy",
        "Fréchet distance",
        "Fréchet distance to training",
        "Fréchet distance at infinity",
        "kernel distance",
        "PQMass chi-square",
        "precision",
        "density",
        "clipped density",
        "feature likelihood divergence",
        "samples with a grey background",
        "blurred samples",
        "sliced Wasserstein distance",
        "inception score",
        "train on real, test on generated",
    ),
    "diversity": (
        "variety within a class",
        "class entropy",
        "recall",
        "coverage",
        "clipped coverage",
        "independent samples",
        "samples with a twin",
        "train on generated, test on real",
        "mixed training",
    ),
    "memorisation": ("nearest-neighbour ratio", "authenticity", "copying statistic C_T", "generalisation gap"),
    "likelihood": ("bits per dimension", "log-likelihood", "log Z"),
    "reconstruction": ("reconstruction",),
    "codes": ("linear probe of codes", "code sparsity", "class separation", "own classifier"),
    "combinations of codes": ("combinations of codes", "combinations of 2", "combinations of 3", "combinations of 5"),
    "fitted particles": ("fitted particles",),
    JUDGE: ("reference classifier",),
    "cost": ("training, s", "sampling, s", "peak memory", "parameters"),
}
ENDS = (" (", ", ", ": ")  # what may follow the name of a metric
SHORTER = (  # what is left out on the screen: the heading of the group says it, or it is understood
    ("Fréchet distance", "Fréchet"),
    ("(robust classifier", "(robust"),
    (", binarised)", ", b/w)"),
    ("feature likelihood divergence", "FLD"),
    ("log-likelihood, bound by", "log-likelihood by"),
    ("reconstruction, ", ""),
    ("reconstruction: ", ""),
    ("combinations of ", ""),
    ("fitted particles: ", ""),
    (": own classifier, accuracy", ": own classifier"),
)


def without_accents(text: str) -> str:
    """Return a text with plain letters in place of accented ones: `Frechet` for Fréchet."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))


class Group(NamedTuple):
    """Rows of results.json that answer one question, in their order there."""

    name: str
    rows: list[dict[str, Any]]


def groups(rows: Sequence[dict[str, Any]]) -> list[Group]:
    """Return the groups that have rows, in the order of `GROUPS`; rows without a value are left out (see `not_measured`)."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*GROUPS, METHOD)}
    for row in rows:
        if row["value"] is not None:
            found[group_of(row["name"])].append(row)
    return [Group(name, members) for name, members in found.items() if members]


def group_of(metric: str) -> str:
    """Return the group of a metric."""
    return next((group for group, names in GROUPS.items() if any(is_of(metric, name) for name in names)), METHOD)


def is_of(metric: str, name: str) -> bool:
    """Return whether a metric has the listed name, in any feature space and of any kind."""
    return metric == name or metric.startswith(tuple(name + end for end in ENDS))


def short_name(metric: str) -> str:
    """Return the name of a metric as it stands below the heading of its group on the screen."""
    for long, short in SHORTER:
        metric = metric.replace(long, short, 1)
    return metric


def not_measured(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for each reason why rows have no value, with the names of these rows."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row["value"] is None:
            reasons.setdefault(row["note"], []).append(row["name"])
    return [f"not measured: {'; '.join(names)}{': ' if why else ''}{why}" for why, names in reasons.items()]
