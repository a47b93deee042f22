"""Files of arrays: true pixels, and one line for each way a file can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from data_files import pixels, refusal

from genrun.data import arrays
from genrun.data.module import ImageData


def test_npz_in_colour_from_two_files(tmp_path):
    colour = np.arange(5 * 4 * 3 * 3, dtype=np.uint8).reshape(5, 4, 3, 3)
    np.savez(tmp_path / "train.npz", images=colour, labels=np.array([0, 2, 1, 0, 2], np.int16))
    np.savez_compressed(tmp_path / "test.npz", images=colour[:2], labels=np.array([1, 1]))
    source = arrays.npz(str(tmp_path))
    assert np.array_equal(pixels(source.train), colour.transpose(0, 3, 1, 2)) and len(source.test) == 2
    assert source.train.labels.tolist() == [0, 2, 1, 0, 2] and source.class_names == ("0", "1", "2")
    assert arrays.npz(str(tmp_path), num_classes=10).class_names[-1] == "9"
    np.savez(tmp_path / "test.npz", images=colour[:2], labels=np.array([1, 7]))
    line = refusal(arrays.npz, str(tmp_path))
    assert "test.npz holds the label 7, expected 0 to 2" in line and "num_classes=8" in line
    assert "must be 1 to 1,000,000, or null, got 0" in refusal(arrays.npz, str(tmp_path), num_classes=0)
    np.savez(tmp_path / "test.npz", images=colour[:2])
    assert "expected both or neither" in refusal(arrays.npz, str(tmp_path))


def test_npz_from_one_file_holds_out_a_fixed_tenth(tmp_path):
    grey = np.arange(40 * 4, dtype=np.uint8).reshape(40, 2, 2)
    np.savez(tmp_path / "all.npz", images=grey)
    source = arrays.npz(str(tmp_path / "all.npz"))
    assert (len(source.train), len(source.test), source.class_names) == (36, 4, ())
    assert set(source.train.labels.tolist()) == {-1} and source.train.shape == (1, 2, 2)
    together = np.concatenate([pixels(source.train), pixels(source.test)])[:, 0, 0, 0]
    assert sorted(together.tolist()) == list(range(0, 160, 4))
    assert torch.equal(source.test.array, arrays.npz(str(tmp_path / "all.npz")).test.array)


IMAGES = np.zeros((4, 5, 5), np.uint8)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"pictures": IMAGES}, "has no array `images`, only pictures"),
        ({"images": IMAGES.astype(np.float32)}, "must be uint8 (0 to 255), got float32"),
        ({"images": np.zeros((4, 3, 5, 5), np.uint8)}, "got (4, 3, 5, 5); transpose"),
        ({"images": np.zeros((0, 5, 5), np.uint8)}, "there are no images in `images`, its shape is (0, 5, 5)"),
        ({"images": IMAGES[:1]}, "holds one image"),
        ({"images": IMAGES, "labels": np.zeros(3, int)}, "4 images but 3 labels"),
        ({"images": IMAGES, "labels": np.array([0, 1, -1, 0])}, "must be 0 or more, got -1"),
        ({"images": IMAGES, "labels": np.zeros(4) + 0.5}, "must be whole numbers of shape (N,), got float64 (4,)"),
        ({"images": IMAGES, "labels": np.array(["a"] * 4, object)}, "cannot be read as .npz"),
    ],
)
def test_a_wrong_npz_is_refused(content, words, tmp_path):
    np.savez(tmp_path / "mine.npz", **content)
    line = refusal(arrays.npz, str(tmp_path / "mine.npz"))
    assert words in line and str(tmp_path / "mine.npz") in line


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"PK\x03\x04 not really")
    assert "cannot be read as .npz" in refusal(arrays.npz, str(tmp_path / "mine.npz"))
    assert "train.npz is missing" in refusal(arrays.npz, str(tmp_path))
    assert "set data.source.path" in refusal(arrays.npz, None)


# ---------------------------------------------------------------------------------------------- what is read as it is meant

GREY = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
BLOBS = np.add.outer(np.arange(8), np.arange(8))[..., None] * np.random.default_rng(1).integers(1, 18, 30)  # (H, W, N)


def read(tmp_path, **content):
    np.savez(tmp_path / "mine.npz", **content)
    return arrays.npz(str(tmp_path / "mine.npz"))


def said(source) -> str:
    return ImageData(lambda: source, 2).summary()


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (np.arange(40) % 4 * 10, ("0", "10", "20", "30")),
        (np.arange(40) % 3 + 1, ("1", "2", "3")),
        (np.arange(40) % 2 * 10**9, ("0", "1000000000")),
        (np.where(np.arange(40) < 20, 7.0, 3.0), ("3", "7")),
        (np.full(40, 5, np.uint64), ("5",)),
        (np.arange(40, dtype=">i8") % 2 + 4, ("4", "5")),
    ],
)
def test_labels_with_gaps_are_the_classes(labels, names, tmp_path):
    source = read(tmp_path, images=GREY, labels=labels)
    assert source.class_names == names and "there is no image of other numbers" in said(source)
    by_image = {bytes(image): str(int(label)) for image, label in zip(GREY, labels, strict=True)}
    for split in (source.train, source.test):
        for image, label in zip(pixels(split), split.labels.tolist(), strict=True):
            assert names[label] == by_image[image.tobytes()]
    chosen = ImageData(lambda: source, 2, classes=[int(names[-1])])
    assert chosen.facts().class_names == names[-1:]


def test_labels_without_gaps_are_as_before(tmp_path):
    source = read(tmp_path, images=GREY, labels=np.arange(40) % 4)
    assert source.class_names == ("0", "1", "2", "3") and source.notes == ()
    given = arrays.npz(str(tmp_path / "mine.npz"), num_classes=6)
    assert given.checksum == source.checksum and "no image to train on of 4, 5" in said(given)


def test_bool_images_are_black_and_white(tmp_path):
    source = read(tmp_path, images=GREY > 127)
    assert set(np.unique(pixels(source.train))) == {0, 255} and "true became white" in said(source)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"images": GREY.transpose(1, 2, 0)}, "looks like (H, W, N)"),
        ({"images": GREY.transpose(1, 2, 0), "labels": np.arange(40) % 2}, "looks like (H, W, N)"),
        ({"images": BLOBS.astype(np.uint8)[:, :6]}, "looks like (H, W, N)"),
        ({"images": np.ones((28, 28, 3), np.uint8)}, "looks like one image (H, W, C)"),
        ({"images": np.ones((20, 28, 4), np.uint8)}, "looks like one image (H, W, C)"),
        ({"images": np.ones((3, 28, 28), np.uint8)}, "looks like one image (C, H, W)"),
        ({"images": np.ones((32, 32, 3, 3), np.uint8)}, "looks like (H, W, C, N)"),
        ({"images": np.ones((32, 32, 3, 40), np.uint8)}, "transpose them"),
        ({"images": np.ones((40, 1, 28, 28), np.uint8)}, "transpose them"),
        ({"images": np.ones((40, 8, 8, 4), np.uint8)}, "leave the fourth channel out"),
        ({"images": np.ones((40, 8, 8, 2), np.uint8)}, "must be (N, H, W)"),
        ({"images": np.ones((40, 64), np.uint8)}, "reshape them"),
        ({"images": np.ones((), np.uint8)}, "reshape them"),
        ({"images": GREY.astype(np.int64)}, "must be uint8 (0 to 255), got int64"),
        ({"images": GREY.astype(np.uint16) * 257}, "got uint16"),
        ({"images": GREY * 1j}, "got complex128"),
        ({"images": GREY.astype("S1")}, "got |S1"),
        ({"Images": GREY}, "has no array `images`, only Images"),
        ({"x_train": GREY, "y_train": GREY[:, 0, 0]}, "only x_train, y_train"),
        ({"images": GREY, "y": np.arange(40)}, "has no array `labels`, but y"),
        ({"images": GREY, "Targets": np.arange(40)}, "has no array `labels`, but Targets"),
        ({"images": GREY, "y_train": np.arange(40)}, "has no array `labels`, but y_train"),
        ({"images": GREY, "labels": np.full(40, np.inf)}, "got NaN or Inf"),
        ({"images": GREY, "labels": np.where(np.arange(40) < 3, np.nan, 1)}, "got NaN or Inf"),
        ({"images": GREY, "labels": np.full(40, 1e300)}, "class numbers up to 2,147,483,647, got 1e+300"),
        ({"images": GREY, "labels": np.full(40, 2**63 + 5, np.uint64)}, "class numbers up to 2,147,483,647"),
        ({"images": GREY, "labels": np.arange(40) % 2 == 0}, "must be whole numbers of shape (N,), got bool"),
        ({"images": GREY, "labels": np.eye(40)}, "got float64 (40, 40)"),
        ({"images": GREY, "labels": np.zeros((40, 1), int)}, "got int64 (40, 1)"),
        ({"images": GREY, "labels": np.array(["cat"] * 40)}, "got <U3 (40,)"),
        ({"images": GREY, "labels": np.int64(3)}, "got int64 ()"),
    ],
)
def test_odd_arrays_are_refused(content, words, tmp_path):
    np.savez(tmp_path / "mine.npz", **content)
    line = refusal(arrays.npz, str(tmp_path / "mine.npz"))
    assert words in line and str(tmp_path / "mine.npz") in line


@pytest.mark.parametrize(
    "images",
    [
        GREY[:, :4, :6],
        GREY[:8],
        GREY.reshape(640, 2, 2),
        GREY[..., None],
        GREY[:, :1, :1],
        np.stack([GREY] * 3, -1),
        GREY[:10, :8, :3, None],
        np.sort(GREY, 0),
        np.asfortranarray(GREY),
        BLOBS.transpose(2, 0, 1).astype(np.uint8),
    ],
)
def test_right_arrays_are_not_doubted(images, tmp_path):
    source = read(tmp_path, images=images)
    assert len(source.train) + len(source.test) == len(images) and source.train.native[1:] == images.shape[1:3]


def test_other_arrays_and_files_are_said(tmp_path):
    source = read(tmp_path, images=GREY, labels=np.arange(40) % 2, ids=np.arange(40), test_images=GREY)
    assert said(source).endswith("left out: other arrays (ids, test_images)")
    for name in ("train", "test", "val"):
        np.savez(tmp_path / f"{name}.npz", images=GREY)
    assert said(arrays.npz(str(tmp_path))).endswith("left out: mine.npz, val.npz")
    one = said(arrays.npz(str(tmp_path / "train.npz")))
    assert one.endswith("left out: test.npz beside train.npz (give the folder to use both)")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (0, None),
        (1e-7, None),
        (9e-4, None),
        (0.01, " to 1.01; clip or rescale"),
        (254, "divide them by 255"),
    ],
)
def test_floats_may_leave_their_range_by_rounding(change, expected, tmp_path):
    images = np.random.default_rng(0).uniform(1e-3, 1, (300, 4, 4))
    images[0, 0, 0] = 1 + change
    np.savez(tmp_path / "mine.npz", images=images)
    if expected:
        assert expected in refusal(arrays.read_npz, tmp_path / "mine.npz", floats=True)
    else:
        read = arrays.read_npz(tmp_path / "mine.npz", floats=True).images
        assert np.array_equal(pixels(read)[:, 0], (images.clip(0, 1) * 255).round().astype(np.uint8))


def test_floats_from_minus_one_to_one_are_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", images=GREY / 127.5 - 1)
    assert "got -1 to 1; rescale them, such as (x + 1)/2" in refusal(
        arrays.read_npz, tmp_path / "mine.npz", floats=True
    )


def test_an_array_that_does_not_fit_in_memory_is_refused(tmp_path, monkeypatch):
    np.savez(tmp_path / "mine.npz", images=GREY)

    def load(*_, **__):
        raise MemoryError

    monkeypatch.setattr(np, "load", load)
    assert "does not fit in memory" in refusal(arrays.npz, str(tmp_path / "mine.npz"))
