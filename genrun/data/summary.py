"""The first line of a run: which images were read, how they were split, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence

from genrun.data.images import Images
from genrun.data.words import few, plural

MOST_NAMED = 100  # characters of classes with their counts; longer lists are cut short


def summary(
    name: str,
    train: Images,
    validation: Images,
    test: Images,
    class_names: Sequence[str],
    notes: Sequence[str],
) -> str:
    """Return one line about the data.

    Args:
        name: the data set's name.
        train, validation, test: the splits as the run uses them.
        class_names: a name per label; empty without classes.
        notes: what else there is to say.
    """
    total = sum(map(len, (train, validation, test)))
    shape = "×".join(map(str, train.shape))
    parts = [
        f"data {name}: {plural(total, 'image')} of {shape} (C×H×W): {len(train):,} to train, {len(validation):,} held out, "
        f"{len(test):,} to test",
        classes(train, class_names, "image to train on"),
    ]
    if len(train) < len(validation):
        parts.append(
            f"only {len(train):,} of {len(train) + len(validation):,} are trained on, because data.validation holds out the others"
        )
    if class_names and (untested := without_images(test, class_names)) and len(test):
        parts.append(f"no image to test of {few(untested)}")
    return "; ".join([*parts, *notes])


def classes(images: Images, class_names: Sequence[str], what: str = "image") -> str:
    """Return in words the classes and how many images each has; `what` is what is said to be missing of those that have none."""
    if not class_names:
        return "no classes"
    counts = images.labels.bincount(minlength=len(class_names)).tolist()
    each = [f"{name} {count:,}" for name, count in zip(class_names, counts, strict=True)]
    named = ", ".join(each)
    if len(named) > MOST_NAMED:
        named = f"{few(each[:-1])}, {each[-1]}" if len(each) > 5 else named
        named += f" (from {min(counts):,} to {max(counts):,})"
    empty = without_images(images, class_names)
    return f"{plural(len(class_names), 'class')}: {named}" + (f"; no {what} of {few(empty)}" if empty else "")


def without_images(images: Images, class_names: Sequence[str]) -> list[str]:
    """Return the names of the classes of which there is no image."""
    counts = images.labels.bincount(minlength=len(class_names)).tolist()
    return [name for name, count in zip(class_names, counts, strict=True) if not count]
