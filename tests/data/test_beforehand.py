"""What is known of the data before torch is imported."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from genrun.data.beforehand import LOOKED_AT, check_data, check_options
from genrun.data.folders import image_folder
from genrun.errors import Refused

MODULE = {"_target_": "genrun.data.module.ImageData"}


def folder_of(path) -> dict:
    return MODULE | {"source": {"_target_": "genrun.data.folders.image_folder", "path": str(path)}, "resize": None}


def test_images_that_differ_in_size_are_refused_in_the_words_of_the_reader(tmp_path):
    for number, side in enumerate((8, 8, 9)):
        Image.new("L", (side, 8)).save(tmp_path / f"{number}.png")
    with pytest.raises(Refused) as early:
        check_data(folder_of(tmp_path), read=False)
    with pytest.raises(Refused) as late:
        _ = image_folder(str(tmp_path)).train.native
    assert str(early.value) == str(late.value)
    check_data(folder_of(tmp_path) | {"resize": 8}, read=False)
    check_data(folder_of(tmp_path), read=True)  # they were read before
    check_data(
        folder_of(tmp_path) | {"_target_": "my.Data"}, read=False
    )  # what a class of the user's does is not known


def test_only_some_of_many_images_are_looked_at(tmp_path, monkeypatch):
    from genrun.data import beforehand

    for number in range(2 * LOOKED_AT + 1):
        Image.new("L", (8, 8)).save(tmp_path / f"{number:03}.png")
    looked = []
    monkeypatch.setattr(beforehand, "read_headers", lambda files: looked.extend(files))
    monkeypatch.setattr(beforehand, "extent_of", lambda files, headers: (8, 8))
    check_data(folder_of(tmp_path), read=False)
    assert 1 < len(looked) <= LOOKED_AT and looked[0].name == "000.png"


@pytest.mark.parametrize("name", ["missing", "file.npz"])
def test_files_that_are_not_there_or_something_else_are_refused(name, tmp_path):
    (tmp_path / "file.npz").write_text("no archive")
    arrays = {"_target_": "genrun.data.arrays.npz", "path": str(tmp_path / name)}
    with pytest.raises(Refused, match=f"{name} (is missing|cannot be read as .npz)"):
        check_data(MODULE | {"source": arrays}, read=False)
    np.savez(tmp_path / "file.npz", images=np.zeros((2, 8, 8), np.uint8))
    check_data(MODULE | {"source": arrays | {"path": str(tmp_path / "file.npz")}}, read=False)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, None, "8"])
def test_numbers_are_whole_and_large_enough(value):
    with pytest.raises(Refused, match=r"^data.batch_size must be a whole number of at least 1, got "):
        check_options({"batch_size": value})
    check_options({"batch_size": 1, "limit": None, "resize": None, "workers": 0})


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        *(
            ("validation", value, "must be a number of images, or a share below 1")
            for value in (-1, 1.5, "a", None, True)
        ),
        ("memory_limit", -1, "must be a number of GiB"),
        *(("memory_limit", value, "expected a number") for value in ("4", None)),
        *(("classes", value, "expected a list of integers or texts or null") for value in ("3", 3)),
    ],
)
def test_other_options_have_their_range_or_form(key, value, why):
    with pytest.raises(Refused, match=f"^data.{key}:? {why}, got {value!r}"):
        check_options({key: value})
    check_options({"validation": 0.1, "memory_limit": 0, "classes": [3, 5]})
    check_options({"validation": 5000, "memory_limit": 0.5, "classes": None})
