"""Folders of images: true pixels, and one line for each way a file can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from data_files import pixels, refusal, write_celeba, write_image
from PIL import Image
from torchvision import datasets

from genrun.data import folders
from genrun.errors import Refused


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
    assert "none of the classes of train/ (cats, dogs)" in refusal(folders.image_folder, str(tmp_path))


def test_image_folder_holds_out_a_fixed_tenth(tmp_path):
    for value in range(30):
        write_image(tmp_path / "set" / f"{value:02d}.webp", value * 8)
    source, again = folders.image_folder(str(tmp_path)), folders.image_folder(str(tmp_path))
    assert (len(source.train), len(source.test), source.train.shape[0]) == (27, 3, 3)  # webp has no grey
    assert source.test.paths == again.test.paths
    assert not set(source.test.paths) & set(source.train.paths) and source.class_names == ()
    assert tmp_path / "set" in source.files


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
