"""Files of arrays: true pixels, and one line for each way a file can be wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from data_files import pixels, refusal

from genrun.data import arrays


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
