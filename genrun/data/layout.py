"""Find the splits and the classes of a folder of images by the names of its folders."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from genrun.data.search import ENDINGS, Steps, Tree, is_picture, search
from genrun.data.words import by_ending, few, place_of, plural, shown
from genrun.errors import Refused

# words that name a split, as in train, Training, test_set, val2017
SPLITS = {
    "train": {"train", "training", "trainset", "trainingset"},
    "test": {"test", "testing", "tests", "testset", "testingset"},
    "validation": {"val", "valid", "validation", "dev", "valset", "validset", "validationset", "devset"},
}
FILLERS = {"", "set", "split", "data", "images", "image", "imgs", "img", "seg"}


@dataclass
class Part:
    """The images of one split.

    Args:
        root: the folder whose sub-folders may be classes.
        images: its files.
        labels: a number for each file; empty if there are no classes.
    """

    root: Steps
    images: list[Steps]
    labels: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        depth = len(self.root)
        self.images = [image for image in self.images if image[:depth] == self.root]

    def groups(self) -> dict[str, list[Steps]]:
        """Return the images below each sub-folder of the root, by its name."""
        groups: dict[str, list[Steps]] = {}
        for image in self.images:
            if len(image) > len(self.root) + 1:
                groups.setdefault(image[len(self.root)], []).append(image)
        return groups

    def loose(self) -> list[Steps]:
        """Return the images that lie directly in the root."""
        return [image for image in self.images if len(image) == len(self.root) + 1]


@dataclass
class Layout:
    """The splits and classes of a folder of images.

    Args:
        home: the folder.
        tree: what lies in it.
        parts: the training split and, if there is one, the test split.
        class_names: a name per label; empty without classes.
        notes: what is not as it may seem, for the first line of a run.
        left_out: what is not read, and why.
    """

    home: Path
    tree: Tree
    parts: list[Part] = field(init=False)
    class_names: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.left_out += self.tree.left_out
        splits = self._splits(self._unwrapped(()))
        self.parts = [Part(self._unwrapped(split), self.tree.images) for split in splits]
        self.class_names = self._set_labels()

    @property
    def by_paths_alone(self) -> bool:
        """Whether the paths of the images say by themselves what their splits and labels are.

        That is so for splits named `train` and `test` and classes in the order of the alphabet.
        """
        plain = [part.root for part in self.parts] in ([()], [("train",)], [("train",), ("test",)])
        return plain and list(self.class_names) == sorted(self.class_names)

    def files(self) -> list[list[Path]]:
        """Return the image files of each part."""
        return [[self.home.joinpath(*image) for image in part.images] for part in self.parts]

    def path(self, steps: Steps) -> str:
        """Return the path of a file or folder as it can be printed."""
        return shown(self.home.joinpath(*steps))

    def _unwrapped(self, root: Steps) -> Steps:
        """Return the folder in `root` that all its images lie in, if it has splits or classes; otherwise `root` itself."""
        inner = root
        while True:
            part = Part(inner, self.tree.images)
            names = list(part.groups())
            if len(names) != 1 or part.loose() or self._pictures_beside(inner, names):
                break
            wrapper = bool(inner) and split_of(names[0]) == split_of(inner[-1])  # as train/train
            if split_of(names[0]) and not wrapper:
                break
            inner = (*inner, names[0])
        if inner == root or not (len(names) > 1 or any(map(split_of, names))):
            return root
        what = "splits" if any(map(split_of, names)) else "classes"
        self.notes.append(f"the {what} are the folders of {shown('/'.join(inner))}/")
        return inner

    def _splits(self, root: Steps) -> list[Steps]:
        """Return the folders of the training split and, if there is one, of the test split; `root` alone if it has no splits."""
        counts = {
            folder[-1]: len(Part(folder, self.tree.images).images)
            for folder in self.tree.folders
            if folder[:-1] == root and folder
        }
        found: dict[str, list[str]] = {}
        for name in counts:
            if split := split_of(name):
                found.setdefault(split, []).append(name)
        if not found:
            return [root]
        where = self.path(root)
        for split, names in found.items():
            if len(names) > 1:
                raise Refused(
                    f"{where} has {' and '.join(map(shown, names))}: expected one folder of the {split} split; rename or "
                    "move the other"
                )
            if not counts[names[0]] and not (split == "validation" and "test" in found):
                raise Refused(f"{self.path((*root, names[0]))} holds no images: expected files that end in {ENDINGS}")
        if "train" not in found:
            name = shown(next(iter(found.values()))[0])
            raise Refused(
                f"{where} has a folder {name}/ but none named train: expected {where}/train and {where}/test; rename "
                f"{name}/ if it is a class, or give {where}/{name} to train on it alone"
            )
        train = found["train"][0]
        test = found.get("test", found.get("validation", [None]))[0]
        others = [name for name, count in counts.items() if count and not split_of(name)]
        if others and test is None and not Part((*root, train), self.tree.images).groups():
            raise Refused(
                f"{where} has {shown(train)}/ beside {few([f'{shown(name)}/' for name in others])}: rename {shown(train)}/ "
                f"if it is a class, or give {where}/{shown(train)} to train on it alone"
            )
        if "validation" in found:
            name = found["validation"][0]
            if "test" in found:
                held = f"{shown(name)}/ ({plural(counts[name], 'image')}; data.validation holds out images of {shown(train)}/)"
                self.left_out.append(held)
            else:
                self.notes.append(f"{shown(name)}/ is the test split")
        self.left_out += [f"{shown(name)}/ ({plural(counts[name], 'image')} beside {shown(train)}/)" for name in others]
        if loose := Part(root, self.tree.images).loose():
            self.left_out.append(f"{few([shown(image[-1]) for image in loose])} (beside {shown(train)}/)")
        return [(*root, name) for name in (train, test) if name is not None]

    def _set_labels(self) -> tuple[str, ...]:
        """Set the labels of every part, and return the names of the classes."""
        train = self.parts[0]
        groups = train.groups()
        if not groups:
            return ()
        loose = train.loose()
        if len(loose) < min(map(len, groups.values())):
            self._check_beside(train, groups)
        if len(groups) == 1 or len(loose) >= min(map(len, groups.values())):
            beside = f", and {plural(len(loose), 'image')} beside, such as {shown(loose[0][-1])}" if loose else ""
            self.notes.append(f"no classes: the images lie in {few([f'{shown(name)}/' for name in groups])}{beside}")
            return ()
        names = in_order(groups)
        number = {name: label for label, name in enumerate(names)}
        for part in self.parts:
            for image in part.images:
                place = image[len(part.root)]
                if place not in number:
                    known = few([f"{shown(name)}/" for name in names])
                    where = (
                        "beside the folders"
                        if part is train
                        else f"in none of the classes of {shown(train.root[-1])}/,"
                    )
                    raise Refused(
                        f"{self.path(image)} is {where} {known}: expected each image in the folder of its class; move it, or "
                        "take it out"
                    )
            part.labels = [number[image[len(part.root)]] for image in part.images]
        return tuple(map(shown, names))

    def _check_beside(self, train: Part, groups: dict[str, list[Steps]]) -> None:
        """Refuse a class whose pictures genrun does not read, and a split inside a class; note folders without images."""
        for name, pictures in self._pictures_beside(train.root, groups).items():
            raise Refused(
                f"{self.path((*train.root, name))} holds no image that genrun reads, only {by_ending(pictures)}: expected "
                f"files that end in {ENDINGS}; convert them, or take the folder out"
            )
        depth = len(train.root)
        self.left_out += [
            f"{shown(folder[-1])}/ (no images)"
            for folder in self.tree.folders
            if len(folder) == depth + 1 and folder[:depth] == train.root and folder[depth] not in groups
        ]
        for image in train.images:
            if len(image) > depth + 2 and split_of(image[depth + 1]):
                name, split = shown(image[depth]), shown(image[depth + 1])
                raise Refused(
                    f"{self.path(image[: depth + 2])} is a split inside a class: expected {split}/{name}, not "
                    f"{name}/{split}; move or rename it"
                )

    def _pictures_beside(self, root: Steps, names: Collection[str]) -> dict[str, list[str]]:
        """Return the files of pictures that genrun does not read in the sub-folders of `root` other than `names`."""
        depth = len(root)
        found: dict[str, list[str]] = {}
        for file in self.tree.others:
            beside = len(file) > depth + 1 and file[:depth] == root and file[depth] not in names
            if beside and is_picture(self.home.joinpath(*file)):
                found.setdefault(file[depth], []).append(file[-1])
        return found


def layout_below(path: str | None, channels: int | None) -> Layout:
    """Check the options of `genrun.data.folders.image_folder`, and find the splits, the classes and the images of its folder.

    Raises:
        Refused: an option is wrong, there are fewer than two images, or it is not clear which folders are splits or classes.
    """
    if path is None:
        raise Refused("data=image_folder needs a folder, got none: set data.source.path=…")
    if channels not in (None, 1, 3):
        raise Refused(f"data.source.channels must be 1 (grey), 3 (colour) or null, got {channels!r}")
    home = place_of(path, "data.source.path")
    if not home.is_dir():
        raise Refused(f"{shown(home)} is not a folder: expected one with images ({ENDINGS}); set data.source.path")
    layout = layout_of(home)
    if sum(map(len, layout.files())) < 2:
        raise Refused(
            f"{shown(home)} holds one image: expected two or more, to train and to test; set data.source.path"
        )
    return layout


def layout_of(home: Path) -> Layout:
    """Find the splits and the classes of a folder of images.

    Raises:
        Refused: there is no image, or it is not clear which folders are splits or classes.
    """
    layout = Layout(home, search(home))
    if layout.parts[0].root == () and split_of(home.name) == "train":
        beside = sorted(path.name for path in home.parent.iterdir() if path.is_dir() and split_of(path.name))
        if len(beside) > 1:
            others = few([f"{shown(name)}/" for name in beside if name != home.name])
            layout.left_out.append(f"{others} beside {shown(home.name)}/ (give {shown(home.parent)} to use it)")
    return layout


def split_of(name: str) -> str | None:
    """Return which split a folder holds by its name: train, test or validation; None if it is no split."""
    words = set(re.split(r"[^a-z]+", name.casefold())) - FILLERS
    return next((split for split, known in SPLITS.items() if len(words) == 1 and words <= known), None)


def in_order(names: Iterable[str]) -> list[str]:
    """Return names in the order of the alphabet; those that differ only in numbers in the order of the numbers: 2 before 10."""
    names = sorted(names)
    if len({re.sub("[0-9]+", "0", name) for name in names}) > 1:
        return names
    return sorted(names, key=lambda name: list(map(int, re.findall("[0-9]+", name))))
