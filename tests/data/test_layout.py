"""Folders as people have them: which images are read, which splits and classes they are, and what is said of the others."""

from __future__ import annotations

import os

import pytest
from data_files import refusal, write_image

from genrun.data.folders import image_folder
from genrun.data.layout import in_order, layout_of, split_of
from genrun.data.module import ImageData


def write(home, **counts) -> None:
    """Write images of 6×6 below a folder: `write(home, cat=3)`; a name with / or without images is given as a dict."""
    for folder, count in counts.items():
        for number in range(count):
            write_image(home / folder.replace("__", "/") / f"{number}.png", 10 * number + len(folder))


def said(home) -> str:
    """What the first line of a run says about a folder."""
    return ImageData(lambda: image_folder(str(home)), 2, name="image_folder").summary()


def classes(home) -> tuple[tuple[str, ...], int, int]:
    """The classes of a folder, and the number of its training and test images."""
    source = image_folder(str(home))
    return source.class_names, len(source.train), len(source.test)


@pytest.mark.parametrize(
    "hidden",
    [
        ".ipynb_checkpoints",
        "cat/.ipynb_checkpoints",
        "@eaDir",
        "dog/@eaDir/1.png",
        "__MACOSX",
        ".Trash-1000",
        "$RECYCLE.BIN",
    ],
)
def test_folders_that_programs_make_are_left_out(hidden, tmp_path):
    write(tmp_path, cat=8, dog=8)
    plain = image_folder(str(tmp_path)).checksum
    write(tmp_path / hidden, thumbs=2)
    assert classes(tmp_path) == (("cat", "dog"), 14, 2)
    assert "left out: " in said(tmp_path) and "(2 images, hidden)" in said(tmp_path)
    assert image_folder(str(tmp_path)).checksum == plain


def test_hidden_files_are_counted(tmp_path):
    write(tmp_path, cat=3, dog=3)
    for name in ("._0.png", "._1.png", ".DS_Store"):
        (tmp_path / "cat" / name).write_bytes(b"no image")
    assert classes(tmp_path)[0] == ("cat", "dog") and "left out: 2 hidden files" in said(tmp_path)


def test_a_hidden_folder_may_hold_the_data(tmp_path):
    write(tmp_path / ".cache" / "faces", cat=3, dog=3)
    assert classes(tmp_path / ".cache" / "faces")[0] == ("cat", "dog")


def test_a_folder_named_like_a_picture_is_a_folder(tmp_path):
    write(tmp_path, **{"cat.png": 4, "dog.jpg": 4})
    assert classes(tmp_path)[0] == ("cat.png", "dog.jpg")


def test_links_to_folders_are_followed_once(tmp_path):
    write(tmp_path / "elsewhere", cat=5)
    write(tmp_path / "set", dog=5)
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    (tmp_path / "set" / "dog" / "up").symlink_to(tmp_path / "set")
    assert classes(tmp_path / "set") == (("cat", "dog"), 9, 1)
    assert "up/ (a link to a folder that it lies in)" in said(tmp_path / "set")
    (tmp_path / "set" / "cat" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    assert "lost.png is not a readable image (it is missing)" in refusal(image_folder, str(tmp_path / "set"))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    write(tmp_path, cat=3, dog=3)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    assert "pipe.png is not a regular file" in refusal(image_folder, str(tmp_path))


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    write(tmp_path, cat=3, dog=3)
    whole = os.scandir

    def scandir(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert "dog cannot be read (Permission denied)" in refusal(image_folder, str(tmp_path))


# ------------------------------------------------------------------------------------------------------------- classes


@pytest.mark.parametrize("ending", ["gif", "tif", "ppm", "jfif", "heic", "avif", ""])
def test_a_class_whose_pictures_are_not_read_is_refused(ending, tmp_path):
    write(tmp_path, cat=4, dog=4, bird=4)
    for file in (tmp_path / "bird").iterdir():
        file.rename(file.with_suffix(f".{ending}") if ending else file.with_suffix(""))
    line = refusal(image_folder, str(tmp_path))
    assert "bird holds no image that genrun reads" in line and f"4 .{ending}" if ending else "without an ending" in line


def test_folders_and_files_that_are_no_images_are_said(tmp_path):
    write(tmp_path, cat=4, dog=4)
    for name in ("bird", "annotations"):
        (tmp_path / name).mkdir()
    (tmp_path / "annotations" / "1.xml").write_text("<a/>")
    (tmp_path / "cat" / "moving.gif").write_bytes(b"GIF89a")
    assert classes(tmp_path)[0] == ("cat", "dog")
    assert said(tmp_path).endswith("left out: 1 .xml, 1 .gif, annotations/ (no images), bird/ (no images)")
    for name in ("cat", "dog"):
        for file in (tmp_path / name).glob("*.png"):
            file.rename(file.with_suffix(".gif"))
    assert "found 9 .gif, 1 .xml" in refusal(image_folder, str(tmp_path))


def test_strays_beside_classes_are_refused_and_named(tmp_path):
    write(tmp_path, cat=4, dog=4)
    write_image(tmp_path / "preview.png", 3)
    line = refusal(image_folder, str(tmp_path))
    assert "preview.png is beside the folders cat/, dog/: expected each image in the folder of its class" in line
    for number in range(5):
        write_image(tmp_path / f"{number}.png", 3)
    assert classes(tmp_path) == ((), 13, 1)
    assert "no classes: the images lie in cat/, dog/, and 6 images beside, such as 0.png" in said(tmp_path)


def test_one_class_alone_is_said_to_be_none(tmp_path):
    write(tmp_path, cat=4)
    assert classes(tmp_path) == ((), 4, 0) or classes(tmp_path)[0] == ()
    assert "no classes: the images lie in cat/" in said(tmp_path)


@pytest.mark.parametrize("wrapper", ["faces", "a/b", "faces.png"])
def test_a_wrapper_around_the_classes_is_seen_through(wrapper, tmp_path):
    write(tmp_path / "plain", cat=4, dog=4)
    write(tmp_path / "wrapped" / wrapper, cat=4, dog=4)
    assert classes(tmp_path / "wrapped") == classes(tmp_path / "plain") == (("cat", "dog"), 7, 1)
    assert f"the classes are the folders of {wrapper}/" in said(tmp_path / "wrapped")


def test_a_class_beside_one_with_folders_does_not_vanish(tmp_path):
    write(tmp_path, cat__2019=4, cat__2020=4)
    (tmp_path / "bird").mkdir()
    (tmp_path / "bird" / "1.gif").write_bytes(b"GIF89a")
    assert "bird holds no image that genrun reads, only 1 .gif" in refusal(image_folder, str(tmp_path))


def test_names_with_numbers_are_in_the_order_of_the_numbers(tmp_path):
    assert in_order(["10", "2", "0", "1"]) == ["0", "1", "2", "10"]
    assert in_order(["class10", "class9"]) == ["class9", "class10"]
    assert in_order(["02", "1", "10", "2"]) == ["1", "02", "2", "10"]
    assert in_order(["b2", "a10", "B1"]) == ["B1", "a10", "b2"]
    write(tmp_path, **{str(number): 3 for number in (0, 1, 2, 10, 11)})
    source = image_folder(str(tmp_path))
    assert source.class_names == ("0", "1", "2", "10", "11")
    everything = [*zip(source.train.paths, source.train.labels.tolist(), strict=True)]
    assert all(source.class_names[label] == path.parent.name for path, label in everything)
    assert "0 2, 1" in said(tmp_path) or "0 3, 1" in said(tmp_path)


def test_an_order_that_earlier_versions_read_otherwise_has_another_checksum(tmp_path):
    for name, folders in {"a": ("8", "9"), "b": ("9", "10")}.items():
        write(tmp_path / name, **dict.fromkeys(folders, 3))
    assert layout_of(tmp_path / "a").by_paths_alone and not layout_of(tmp_path / "b").by_paths_alone
    write(tmp_path / "c", train__a=2, train__b=2, test__a=2)
    assert layout_of(tmp_path / "c").by_paths_alone
    (tmp_path / "c" / "test").rename(tmp_path / "c" / "Testing")
    assert not layout_of(tmp_path / "c").by_paths_alone


def test_names_that_are_no_utf8_or_cannot_be_printed(tmp_path):
    for name in (b"caf\xe9", b"two\nlines", b"\x1b[31mred"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        for number in range(3):
            write_image(tmp_path / "x.png", number)
            os.rename(tmp_path / "x.png", os.path.join(folder, b"\xff%d.png" % number))
    names = ("\\x1b[31mred", "caf\\xe9", "two\\nlines")
    assert sorted(image_folder(str(tmp_path)).class_names) == list(names)
    assert said(tmp_path).isprintable() and len(image_folder(str(tmp_path)).checksum) == 64
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9", b"\xff0.png"), "wb") as file:
        file.write(b"text")
    assert "caf\\xe9/\\xff0.png is not a readable image" in refusal(image_folder, str(tmp_path))


# -------------------------------------------------------------------------------------------------------------- splits


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("TRAIN", "TEST"),
        ("training_set", "test_set"),
        ("train_images", "test_images"),
        ("train2017", "val2017"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train", "val"),
        ("train", "valid"),
        ("train", "Validation"),
        ("data/train", "data/test"),
    ],
)
def test_splits_by_other_names(train, test, tmp_path):
    write(tmp_path / train, cat=4, dog=4)
    write(tmp_path / test, cat=2, dog=2)
    source = image_folder(str(tmp_path))
    assert (source.class_names, len(source.train), len(source.test)) == (("cat", "dog"), 8, 4)
    assert source.test.labels.tolist() == [0, 0, 1, 1]
    if "val" in test.lower():
        assert f"{test}/ is the test split" in said(tmp_path)


def test_which_words_name_a_split():
    for name, split in {"train": "train", "Test Set": "test", "valid_data": "validation", "dev": "validation"}.items():
        assert split_of(name) == split
    for name in ("steam train", "testify", "invalid", "data", "set", "trains", "1", "contest", "train_test"):
        assert split_of(name) is None


def test_what_lies_beside_the_splits_is_said(tmp_path):
    write(tmp_path, train__cat=4, train__dog=4, test__cat=1, val__cat=3, extra=2)
    write_image(tmp_path / "cover.png", 1)
    assert classes(tmp_path) == (("cat", "dog"), 8, 1)
    line = said(tmp_path)
    assert "val/ (3 images; data.validation holds out images of train/)" in line
    assert "extra/ (2 images beside train/), cover.png (beside train/)" in line
    assert "no image to test of dog" in line
    assert "left out: test/" in said(tmp_path / "train") and f"give {tmp_path}" in said(tmp_path / "train")


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"train__a": 2, "Train__a": 2}, "has Train and train: expected one folder of the train split"),
        ({"test": 2, "cat": 2, "dog": 2}, "has a folder test/ but none named train"),
        ({"val": 2, "cat": 2}, "rename val/ if it is a class"),
        ({"train": 2, "bus": 2, "car": 2}, "has train/ beside bus/, car/: rename train/ if it is a class"),
        (
            {"cat__train": 2, "cat__test": 2, "dog__train": 2, "dog__test": 2},
            "is a split inside a class: expected test/cat",
        ),
        (
            {"train__cat": 2, "train__dog": 2, "test": 2},
            "test/0.png is in none of the classes of train/, cat/, dog/: expected",
        ),
        (
            {"train__cat": 2, "train__dog": 2, "test__cow": 2},
            "cow/0.png is in none of the classes of train/, cat/, dog/: expected",
        ),
        ({"only": 1}, "holds one image: expected two or more"),
    ],
)
def test_splits_that_are_not_clear_are_refused(counts, words, tmp_path):
    write(tmp_path, **counts)
    assert words in refusal(image_folder, str(tmp_path))


def test_a_split_without_images_is_refused(tmp_path):
    write(tmp_path, train__cat=2, train__dog=2)
    (tmp_path / "test").mkdir()
    assert f"{tmp_path}/test holds no images" in refusal(image_folder, str(tmp_path))


def test_an_unused_folder_of_validation_may_be_empty_and_documents_may_lie_beside_classes(tmp_path):
    write(tmp_path / "splits", train__cat=2, train__dog=2, test__cat=1, test__dog=1)
    (tmp_path / "splits/val").mkdir()
    assert classes(tmp_path / "splits") == (("cat", "dog"), 4, 2)
    write(tmp_path / "classes", cat=2, dog=2)
    (tmp_path / "classes/docs").mkdir()
    (tmp_path / "classes/docs/license.pdf").write_text("%PDF")
    assert classes(tmp_path / "classes")[0] == ("cat", "dog") and "docs/" in said(tmp_path / "classes")
