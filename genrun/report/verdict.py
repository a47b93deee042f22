"""What the results of a run say: each metric as that of real images, good or bad, and all of them in one sentence.

The limits come from images for which the right verdict is known, and from runs of all methods (docs/judging.md).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from genrun.report.groups import is_of

KINDS = {"digits": "digits", "mnist": "digits", "mnist_numbers": "numbers", "celeba": "faces", "swiss_roll": "points"}
INF = math.inf
# the last one is that of tables before version 3
SPACES = ("observer", "random", "robust classifier", "Inception", "classifier")
CLEAN = {  # precision, of that of real images, at least
    0.9: "clean {}",
    0.8: "mostly clean {}",
    0.5: "rough {}",
    0.2: "poor {}",
    0: "nothing like real {}",
}
# distance, of that of real images, at most
NEAR = {5: "{} near real ones", 25: "{} not far from real ones", INF: "{} far from real ones"}
SHARES = {  # recall or coverage, of that of real images, about
    1: "all the variety",
    0.85: "most of the variety",
    3 / 4: "three quarters of the variety",
    2 / 3: "two thirds of the variety",
    1 / 2: "half the variety",
    1 / 3: "a third of the variety",
    1 / 4: "a quarter of the variety",
    1 / 5: "a fifth of the variety",
    1 / 10: "a tenth of the variety",
    0: "hardly any of the variety",
}
GREY, BLURRED = FLAWS = "samples with a grey background", "blurred samples"  # shares of samples
INDEPENDENT, TWINS = "independent samples", "samples with a twin"
BEYOND_REAL = (
    "feature likelihood divergence",
    "generalisation gap",
)  # in hundredths of a nat, beyond those of real images
BACKED = 0.25  # of the samples have a background at all: with fewer, it is not worth a word
FAINT = 20  # of 255: a grey background that is darker than this is seen only barely
COPIED = -3  # C_T, in standard deviations: below, samples are nearer to training images than unseen real images are
MOST, SOME = 0.3, 0.5  # of the authenticity of real images: below, most samples are copies, or some of them
OF_CLASSES = ("label accuracy", "class entropy")  # rows of the reference classifier
IN_ITS_FEATURES = ("classifier)", "classifier, binarised)")  # ends of the names of rows
BY_CHANCE = 3  # deviations of real images' values, which come from five draws only: nearer, samples cannot be told from real images
LEAST = 20  # samples a class: with fewer, a class may be missing by chance
EVEN = 0.9  # of the classes are equally frequent among real images: otherwise a rare class is not missed
ABSENT = 0.1  # of the even share of a class: with fewer samples it is missing


class Limits(NamedTuple):
    """Ranges of a metric, relative to that of real images: in `good` it is good, outside `fair` it is bad."""

    good: tuple[float, float]
    fair: tuple[float, float]


LIMITS = {  # metric, or which value is the best one → limits; most are of value / floor, see `relative`
    "high": Limits((0.95, INF), (0.8, INF)),
    "low": Limits((-INF, 5), (-INF, 25)),
    "kernel distance": Limits((-INF, 2), (-INF, 5)),
    "class entropy": Limits((0.95, INF), (0.8, INF)),
    "inception score": Limits((0.9, 1.1), (0.7, INF)),
    "variety within a class": Limits((0.9, 1.15), (0.75, 1.5)),
    "samples with a grey background": Limits((-INF, 0.05), (-INF, 0.25)),
    "blurred samples": Limits((-INF, 0.05), (-INF, 0.25)),
    "PQMass chi-square": Limits((-INF, 2), (-INF, 10)),
    "feature likelihood divergence": Limits((-INF, 1), (-INF, 5)),
    "samples with a twin": Limits((-INF, 0.05), (-INF, 0.25)),
    "generalisation gap": Limits((-1, INF), (-5, INF)),
    "nearest-neighbour ratio": Limits((0.9, 1.15), (0.75, INF)),
    "authenticity": Limits((0.9, 1.4), (0.7, INF)),
    "copying statistic C_T": Limits((COPIED, -COPIED), (COPIED, INF)),
}


def mark(row: Mapping[str, Any]) -> str:
    """Return `real` for a row of results.json that real images could have, else `good` or `bad`; empty if it is neither or unknown."""
    if as_real(row):
        return "real"
    value, best = relative(row), row.get("best", "")
    limits = next((limits for name, limits in LIMITS.items() if is_of(row["name"], name)), LIMITS.get(best))
    if value is None or limits is None:
        return ""
    if limits.good[0] <= value <= limits.good[1]:
        return "good"
    return "" if limits.fair[0] <= value <= limits.fair[1] else "bad"


def as_real(row: Mapping[str, Any]) -> bool:
    """Return whether the value of a row is as good as that of real images: not worse by more than three of its deviations among them."""
    value, floor, spread = (number_in(row, key) for key in ("value", "floor", "floor_spread"))
    if value is None or floor is None or spread is None or spread < 0:
        return False
    worse = {"high": floor - value, "low": value - floor, "real": abs(value - floor)}.get(row.get("best", ""), INF)
    return worse <= BY_CHANCE * spread


def relative(row: Mapping[str, Any]) -> float | None:
    """Return the value of a row relative to that of real images; None if either is missing.

    It is value / floor but for C_T, which is relative by itself, the kernel distance (whose floor is about 0: standard deviations
    above it), the entropy (numbers of equally frequent classes), and what real images have almost nothing of: flaws, twins, a feature
    likelihood divergence (their difference).
    """
    value, floor, spread = (number_in(row, key) for key in ("value", "floor", "spread"))
    if value is None or floor is None:
        return None
    if is_of(row["name"], "copying statistic C_T"):
        return value
    if any(
        is_of(row["name"], name) for name in BEYOND_REAL
    ):  # where there are few real images, chance alone is larger than 1
        return (value - floor) / max(1.0, number_in(row, "floor_spread") or 0.0)
    if row["name"] in (*FLAWS, TWINS):
        return value - floor
    if is_of(row["name"], "kernel distance"):
        return (value - max(floor, 0.0)) / spread if spread else None
    if is_of(row["name"], "class entropy"):
        return math.exp(min(value - floor, 0.0))
    return value / floor if floor > 0 else None


def number_in(row: Mapping[str, Any], key: str) -> float | None:
    """Return a field of a row if it is a finite number, else None."""
    value = row.get(key)
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def verdict(results: Mapping[str, Any]) -> str:
    """Say in one plain sentence how good, how varied and how original the samples of results.json are; empty if nothing says it.

    Each part is said only if its metrics were measured: `clean digits, a third of the variety of real ones, not copied, worst class 5
    (99.8 % recognised)`.
    """
    rows = {row["name"]: row for row in results["rows"] if number_in(row, "value") is not None}
    if "near chance" in str(rows.get("reference classifier, accuracy", {}).get("note")):  # its rows say nothing
        rows = {
            name: row for name, row in rows.items() if name not in OF_CLASSES and not name.endswith(IN_ITS_FEATURES)
        }
    kind = kind_of(str(results.get("title", "")), rows)
    fidelity, flaws, copying = fidelity_part(rows, kind), flaw_parts(rows), copying_part(rows)
    if fidelity == CLEAN[0].format(kind):  # it does not matter how varied they are
        parts = [fidelity, *flaws, copying]
    else:
        if flaws:  # what is in fog or blurred is not clean, however right its shapes are
            fidelity = fidelity.replace("clean", "well-shaped")
        elif cannot_be_told(rows):
            fidelity = f"{kind} as good as real ones"
        varied = [variety_part(rows), missing_part(rows), *dependence_parts(rows)]
        parts = [fidelity, *flaws, *varied, copying, *label_parts(rows)]
    return ", ".join(part for part in parts if part)


def kind_of(title: str, rows: Mapping[str, Any]) -> str:
    """Return what the samples show: digits where the title of the results names such data, otherwise images."""
    data = re.search(r" (?:on|against) (\w+)(?:, |$)", title)
    kind = KINDS.get(data[1] if data else "", "images")
    return f"black-and-white {kind}" if any(name.endswith("binarised)") for name in rows) else kind


def rows_of(rows: Mapping[str, Any], metric: str) -> list[Mapping[str, Any]]:
    """Return the rows of a metric, one for each feature space; of binary samples the one beside binarised real images."""
    found = (rows.get(f"{metric} ({space}, binarised)", rows.get(f"{metric} ({space})")) for space in SPACES)
    return [row for row in found if row is not None]


def shares(rows: Mapping[str, Any], *metrics: str) -> list[float]:
    """Return metrics in every feature space, each divided by that of real images."""
    found = [relative(row) for metric in metrics for row in rows_of(rows, metric)]
    return [share for share in found if share is not None]


def cannot_be_told(rows: Mapping[str, Any]) -> bool:
    """Return whether the distance and the precision of the samples are those of real images, in every feature space."""
    each = [rows_of(rows, metric) for metric in ("Fréchet distance", "precision")]
    return all(found and all(map(as_real, found)) for found in each)


def fidelity_part(rows: Mapping[str, Any], kind: str) -> str:
    """Say how clean the samples are, by their precision, or how near to real ones, by a distance; in the feature space that says worst."""
    if precisions := shares(rows, "precision"):
        return next(words for least, words in CLEAN.items() if max(min(precisions), 0) >= least).format(kind)
    distances = shares(rows, "Fréchet distance")
    if (sliced := rows.get("sliced Wasserstein distance")) is not None and (share := relative(sliced)) is not None:
        distances.append(share)
    if not distances:
        return ""
    return next(words for most, words in NEAR.items() if max(distances) <= most).format(kind)


def flaw_parts(rows: Mapping[str, Any]) -> list[str]:
    """Say how many samples have a grey background, or are blurred, where that is bad."""
    found = {
        name: f"{rows[name]['value']:.0%}".replace("%", " %")
        for name in FLAWS
        if mark(rows.get(name, {"name": name})) == "bad"
    }
    parts = []
    level, share = rows[GREY].get("detail") or (INF, 1) if GREY in found else (INF, 0)
    if share >= BACKED:
        parts.append(f"{found[GREY]} on a {'faintly ' if level < FAINT else ''}grey background")
    if BLURRED in found:
        parts.append(f"{found[BLURRED]} blurred")
    return parts


def variety_part(rows: Mapping[str, Any]) -> str:
    """Say how much of the variety of real images the samples have, by recall and coverage, in the feature space that says worst."""
    found = shares(rows, "recall", "coverage")
    return f"{SHARES[min(SHARES, key=lambda known: abs(known - min(found)))]} of real ones" if found else ""


def missing_part(rows: Mapping[str, Any]) -> str:
    """Say how many classes are missing, where real images have all of them about equally often."""
    row = rows.get("class entropy", {})
    counts, floor = row.get("detail"), number_in(row, "floor")
    if not isinstance(counts, list) or floor is None or not all(type(count) is int for count in counts):
        return ""
    even = sum(counts) / max(len(counts), 1)
    if even < LEAST or floor < math.log(EVEN * len(counts)):
        return ""
    missing = sum(count < ABSENT * even for count in counts)
    return f"{missing} of {len(counts)} classes missing" if missing else ""


def dependence_parts(rows: Mapping[str, Any]) -> list[str]:
    """Say how many independent samples these are worth, and how many have a twin, where that is bad."""
    parts, alike = [], rows.get(INDEPENDENT, {"name": INDEPENDENT})
    if mark(alike) == "bad" and (count := number_in(alike, "count")) is not None:
        parts.append(f"worth {max(1, round(alike['value'] * count)):,} independent ones")
    if mark(rows.get(TWINS, {"name": TWINS})) == "bad":
        parts.append(f"{rows[TWINS]['value']:.0%} with a twin".replace("%", " %"))
    return parts


def copying_part(rows: Mapping[str, Any]) -> str:
    """Say whether the samples are copies of training images."""

    def found(name: str) -> Mapping[str, Any]:
        return rows.get(f"{name} (binarised)", rows.get(name, {}))

    c_t, floor = (number_in(found("copying statistic C_T"), key) for key in ("value", "floor"))
    authentic = relative(found("authenticity")) if found("authenticity") else None
    if c_t is None and authentic is None:
        return ""
    nearer = c_t is not None and c_t < min(COPIED, INF if floor is None else floor)
    if authentic is not None and authentic < MOST and (nearer or c_t is None):
        return "copied"
    return "partly copied" if nearer or (authentic is not None and authentic < SOME) else "not copied"


def label_parts(rows: Mapping[str, Any]) -> list[str]:
    """Say how many samples the classifier takes for another class than asked for, and which class is worst."""
    row = rows.get("label accuracy", {})
    value, share = number_in(row, "value"), relative(row) if row else None
    if value is None:
        return []
    parts = [f"{1 - value:.0%} taken for another class".replace("%", " %")] if share is not None and share < 0.9 else []
    weakest = re.fullmatch(r"weakest: (.+), ([01]\.\d+)", str(row.get("note", "")))
    if weakest and float(weakest[2]) < 1:
        recognised = f"{100 * float(weakest[2]):.3g} %"
        parts.append(f"worst class {weakest[1]} ({recognised} recognised)")
    return parts
