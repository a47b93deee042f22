"""Folders of images: true pixels, and one line for each way a file can be wrong."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import pixels, refusal, write_celeba, write_image
from PIL import Image
from torchvision import datasets

from genrun.config.compose import compose
from genrun.config.trust import TRUSTED_DATA, check_trusted
from genrun.data import arrays, facts, folders
from genrun.data.facts import described_data
from genrun.data.module import ImageData
from genrun.errors import Refused
from genrun.parts import read_facts, with_facts


@pytest.fixture
def faces(tmp_path, monkeypatch):
    sums = write_celeba(tmp_path)
    ids = [(i, sums.get(name, md5_), name) for i, md5_, name in datasets.CelebA.file_list]
    monkeypatch.setattr(datasets.CelebA, "file_list", ids)
    return tmp_path


def test_celeba_crops_the_middle_and_labels_by_an_attribute(faces):
    source = folders.celeba(str(faces), crop=12, label="Male")
    assert (len(source.train), len(source.test), source.train.shape) == (6, 3, (3, 12, 12))
    colours = pixels(source.train).mean((2, 3))
    assert np.abs(colours - np.array([(20 * i, 100, 200) for i in range(6)])).max() < 3  # JPEG
    assert source.train.labels.tolist() == [0, 1, 0, 1, 0, 1] and source.class_names == ("not Male", "Male")
    plain = folders.celeba(str(faces), crop=None)
    assert plain.train.shape == (3, 20, 16) and plain.class_names == () and set(plain.test.labels.tolist()) == {-1}
    assert plain.checksum == source.checksum


def test_celeba_refusals(faces):
    assert "did you mean 'Smiling'" in refusal(folders.celeba, str(faces), label="Smilling")
    too_large = folders.celeba(str(faces), crop=18).train
    assert "smaller than data.source.crop=18" in refusal(too_large.pixels, torch.arange(2))
    (faces / "celeba" / "img_align_celeba" / "000003.jpg").unlink()
    assert "000003.jpg is not a readable image (it is missing)" in refusal(folders.celeba, str(faces))
    (faces / "celeba" / "list_bbox_celeba.txt").write_text("other")
    line = refusal(folders.celeba, str(faces))
    assert "list_bbox_celeba.txt" in line and str(faces / "celeba") in line and "data=digits" in line


@pytest.fixture
def anime(tmp_path):
    """20 images of 8×10 in two folders, one of them grey; the red of each is its number times ten."""
    folder = tmp_path / "anime"
    for value in range(20):
        write_image(folder / "ab"[value % 2] / f"{value:02d}.png", (10 * value, 0, 50) if value else 0, 8, 10)
    return folder


def test_celeba_anime_crops_only_celeba_and_labels_both(faces, anime):
    source = folders.celeba_anime(str(faces), str(anime), crop=12)
    assert source.class_names == ("CelebA", "Anime") and len(set(source.train.paths) | set(source.test.paths)) == 29
    assert source.train.labels.tolist() == [0] * 6 + [1] * 18 and source.test.labels.tolist() == [0] * 3 + [1] * 2
    small = source.train.resized(4)
    assert small.shape == (3, 4, 4)
    colours = pixels(small).mean((2, 3))
    assert np.abs(colours[:6] - np.array([(20 * i, 100, 200) for i in range(6)])).max() < 3  # JPEG
    numbers = [int(path.stem) for path in source.train.paths[6:]]
    assert colours[6:].tolist() == [[10 * value, 0, 50 if value else 0] for value in numbers]
    assert torch.equal(
        pickle.loads(pickle.dumps(small)).pixels(torch.tensor([0, 7])), small.pixels(torch.tensor([0, 7]))
    )


def test_celeba_anime_takes_as_many_images_of_each_from_a_fixed_shuffle(faces, anime):
    whole, few, more = (
        folders.celeba_anime(str(faces), str(anime), crop=None, images_of_each=n) for n in (None, 4, 10)
    )
    assert few.train.labels.tolist() == [0] * 4 + [1] * 4 and more.train.labels.tolist() == [0] * 6 + [1] * 10
    assert set(few.train.paths) < set(more.train.paths) < set(whole.train.paths)
    assert few.train.paths == sorted(few.train.paths[:4]) + sorted(few.train.paths[4:])
    assert few.test.paths == more.test.paths == whole.test.paths
    assert [path.name for path in few.train.paths[:4]] != [f"{i + 1:06d}.jpg" for i in range(4)]
    again = folders.celeba_anime(str(faces), str(anime), crop=12, images_of_each=4)
    assert few.checksum == again.checksum != whole.checksum
    unused = next(path for path in whole.train.paths[6:] if path not in few.train.paths)
    unused.write_text("no image")  # so it is not read
    assert folders.celeba_anime(str(faces), str(anime), crop=None, images_of_each=4).checksum == few.checksum
    few.train.paths[-1].write_bytes(few.train.paths[-2].read_bytes())
    assert folders.celeba_anime(str(faces), str(anime), crop=None, images_of_each=4).checksum != few.checksum


def test_celeba_anime_is_split_and_limited_over_both_classes(faces, anime):
    source = partial(folders.celeba_anime, str(faces), str(anime), crop=12)
    data = ImageData(source, 5, validation=8, limit=10, resize=4)
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [10, 8, 5] and all(
        set(split.labels.tolist()) == {0, 1} for split in splits
    )
    assert data.facts().class_names == ("CelebA", "Anime") and data.facts().image_shape == (3, 4, 4)
    one = ImageData(source, 5, classes=[0], resize=4)
    assert (len(one.train), len(one.test), one.facts().class_names) == (6, 3, ("CelebA",))


@pytest.mark.parametrize("many", [1000, 3])
def test_facts_of_celeba_anime_are_recalled_until_a_file_changes(faces, anime, many, tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "MANY", many)
    data = ImageData(partial(folders.celeba_anime, str(faces), str(anime), crop=12, images_of_each=3), 2, resize=4)
    for added in (anime / "b" / "new.png", faces / "celeba" / "img_align_celeba" / "000002.jpg"):
        facts.remember({"name": "x"}, data.facts(), data.files(), tmp_path / "cache")
        assert facts.recall({"name": "x"}, tmp_path / "cache") == data.facts()
        write_image(added, (1, 2, 3), 30, 30)
        assert facts.recall({"name": "x"}, tmp_path / "cache") is None


def test_celeba_anime_is_a_configuration_whose_facts_are_remembered(faces, anime, tmp_path):
    overrides = ["data=celeba_anime", f"paths.data={faces}", f"data.source.anime={anime}", "data.source.crop=12"]
    overrides += ["data.validation=2", "data.resize=8", f"paths.cache={tmp_path / 'cache'}"]
    first, data = read_facts(compose(overrides))
    assert data is not None and (first.image_shape, first.num_classes, first.train_size) == ((3, 8, 8), 2, 22)
    assert read_facts(compose([*overrides, "data.batch_size=7"])) == (first, None)
    again, data = read_facts(compose([*overrides, "data.source.images_of_each=4"]))
    assert data is not None and again.train_size == 6
    check_trusted(described_data(with_facts(compose(overrides), first)), "data", TRUSTED_DATA)


def test_celeba_anime_refusals(faces, anime, tmp_path):
    read = partial(folders.celeba_anime, str(faces))
    assert "data=celeba_anime needs a folder of Anime faces, got none: set data.source.anime" in refusal(read, None)
    assert "is not a folder" in refusal(read, str(tmp_path / "absent"))
    for count in (0, -1, 2.5, True):
        assert f"null, got {count}" in refusal(read, str(anime), images_of_each=count)
    for overlapping in (faces, faces / "celeba", faces / "celeba" / "img_align_celeba"):
        assert "overlap: set data.source.anime" in refusal(read, str(overlapping))
    (tmp_path / "empty").mkdir()
    assert "holds no images" in (line := refusal(read, str(tmp_path / "empty"))) and line.endswith("data.source.anime")
    write_image(tmp_path / "empty" / "one.png", 3)
    assert "holds one image: expected two or more" in refusal(read, str(tmp_path / "empty"))
    with pytest.raises(Refused, match=r"CelebA and of Anime differ in size; data\.resize=64"):
        _ = read(str(anime), crop=12).train.shape
    with pytest.raises(Refused, match="differ in size"):
        _ = read(str(anime), crop=8).train.shape  # 8×8 and 8×10
    write_image(anime / "a" / "00.png", 0, 8, 9)
    assert read(str(anime), crop=12).train.resized(4).shape == (3, 4, 4)
    (anime / "a" / "00.png").write_text("text")
    assert "00.png is not a readable image" in refusal(read, str(anime))
    (faces / "celeba" / "list_attr_celeba.txt").write_text("other")
    assert "list_attr_celeba.txt" in refusal(read, str(anime))


def test_celeba_anime_of_one_size_needs_no_resize(faces, tmp_path):
    for value in range(4):
        write_image(tmp_path / "square" / f"{value}.jpg", (value, 0, 0), 12, 12)
    source = folders.celeba_anime(str(faces), str(tmp_path / "square"), crop=12)
    assert source.train.shape == (3, 12, 12) and pixels(source.train).shape == (9, 3, 12, 12)
    assert not [path for path in source.files if not isinstance(path, Path) or not path.exists()]


def test_image_folder_with_splits_and_classes(tmp_path):
    for split, values in (("train", (10, 20, 30)), ("test", (40,))):
        for value in values:
            write_image(tmp_path / split / "cats" / f"{value}.png", (value, 0, 0))
            write_image(tmp_path / split / "dogs" / "deep" / f"{value}.bmp", value)
    source = folders.image_folder(str(tmp_path))
    assert source.class_names == ("cats", "dogs") and source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert pixels(source.train)[:, :, 0, 0].tolist()[1:4] == [[20, 0, 0], [30, 0, 0], [10, 10, 10]]
    assert source.test.shape == (3, 6, 6) and pixels(source.test)[:, 0, 0, 0].tolist() == [40, 40]
    grey = folders.image_folder(str(tmp_path), channels=1)
    assert grey.train.shape == (1, 6, 6) and grey.checksum == source.checksum
    write_image(tmp_path / "test" / "cows" / "1.png", 3)
    assert "none of the classes of train/, cats/, dogs/" in refusal(folders.image_folder, str(tmp_path))


def test_image_folder_holds_out_a_fixed_tenth(tmp_path):
    for value in range(30):
        write_image(tmp_path / "set" / f"{value:02d}.webp", value * 8)
    source, again = folders.image_folder(str(tmp_path)), folders.image_folder(str(tmp_path))
    assert (len(source.train), len(source.test), source.train.shape[0]) == (27, 3, 3)  # webp has no grey
    assert source.test.paths == again.test.paths
    assert not set(source.test.paths) & set(source.train.paths) and source.class_names == ()
    assert tmp_path / "set" in source.files


@pytest.mark.parametrize("read", [folders.image_folder, arrays.npz, partial(folders.celeba_anime, "nowhere")])
def test_a_path_that_is_not_utf8_is_refused(read, tmp_path):
    assert r"caf\xe9 is not UTF-8: rename it, or give a link" in refusal(read, f"{tmp_path}/caf\udce9")


def test_image_folder_refusals(tmp_path):
    assert "set data.source.path" in refusal(folders.image_folder, None)
    assert "holds no images" in refusal(folders.image_folder, str(tmp_path))
    assert "is not a folder" in refusal(folders.image_folder, str(tmp_path / "absent"))
    assert "must be 1 (grey), 3 (colour) or null" in refusal(folders.image_folder, str(tmp_path), channels=2)
    write_image(tmp_path / "a.png", 1, 6, 6)
    write_image(tmp_path / "b.png", 2, 8, 4)
    source = folders.image_folder(str(tmp_path))
    with pytest.raises(Refused, match=r"a\.png is 6×6 \(H×W\), .*b\.png 8×4; data\.resize=64"):
        _ = source.train.shape
    assert source.train.resized(4).shape == (1, 4, 4)
    (tmp_path / "b.png").write_text("text")
    assert f"{tmp_path}/b.png is not a readable image (cannot identify image file)" in refusal(
        folders.image_folder, str(tmp_path)
    )
    Image.fromarray(np.zeros((6, 6), np.uint16)).save(tmp_path / "b.png")
    assert "more than eight bits" in refusal(folders.image_folder, str(tmp_path))


def test_a_file_that_breaks_off_is_named_when_decoded(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for name in "abc":
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:3000])
    images = folders.image_folder(str(tmp_path))
    whole = images.train if any("b.png" in path.name for path in images.train.paths) else images.test
    assert f"{tmp_path}/b.png is not a readable image" in refusal(whole.decoded)
