"""The data sets that are known by name: true pixels, and files that are held against sums."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.datasets
import torch
from conftest import ROOT
from data_files import (
    IDX_NAMES,
    REAL_DATA,
    idx_bytes,
    idx_contents,
    md5,
    pixels,
    refusal,
    write_idx,
)
from omegaconf import OmegaConf

from genrun.data import sources

CONF = ROOT / "conf" / "data"


# --------------------------------------------------------------------------------------------------------------- digits


def test_digits_are_those_of_scikit_learn():
    read = sklearn.datasets.load_digits()
    expected = {(np.round(i * 255 / 16).astype(np.uint8).tobytes(), t) for i, t in zip(*_both(read), strict=True)}
    source = sources.digits()
    found = [
        (image.tobytes(), label)
        for images in (source.train, source.test)
        for image, label in zip(pixels(images), images.labels.tolist(), strict=True)
    ]
    assert (len(source.train), len(source.test)) == (1437, 360)
    assert len(found) == 1797 and set(found) == expected and len(expected) == len(set(expected))
    assert pixels(source.train).max() == 255 and source.train.shape == (1, 8, 8)


def _both(read):
    return read.images, read.target


def test_digits_split_is_fixed_and_keeps_the_classes_shares():
    source, again = sources.digits(), sources.digits()
    assert torch.equal(source.train.array, again.train.array)
    share = np.bincount(sklearn.datasets.load_digits().target) * 360 / 1797
    assert np.abs(np.bincount(source.test.labels) - share).max() < 1
    assert source.checksum == again.checksum == "271a6be557c3f84f18ac3682849511a902b01da05895a159557ae9e8a9ac4d0a"


# ------------------------------------------------------------------------------------------------------- MNIST's format


def sums(name: str) -> dict[str, dict[str, str]]:
    """The sums that the configuration holds the files against."""
    source = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml").source)
    return {key: source[key] for key in ("sha256", "md5") if key in source}


@pytest.mark.parametrize(
    ("name", "folder", "mean", "first"),
    [("mnist", "MNIST", 0.1306605, 5), ("fashion_mnist", "FashionMNIST", 0.2860406, None)],
)
def test_idx_data_sets_hold_the_official_images(name, folder, mean, first, tmp_path):
    """The real files where they are; otherwise small ones of the same layout, whose pixels are known too."""
    read = getattr(sources, name)
    if (REAL_DATA / folder / "raw" / IDX_NAMES[0]).is_file():
        source = read(str(REAL_DATA), **sums(name))
        assert (len(source.train), len(source.test)) == (60000, 10000)
        assert source.train.array.double().mean().item() / 255 == pytest.approx(mean, abs=1e-6)
        assert first is None or source.train.labels[0] == first  # Fashion-MNIST is met in two orders
        assert source.train.labels.bincount().tolist() == [6000] * 10 or name == "mnist"
        raw = np.fromfile(REAL_DATA / folder / "raw" / IDX_NAMES[2], np.uint8, offset=16).reshape(-1, 1, 28, 28)
    else:
        source = read(str(write_idx(tmp_path, folder).parents[1]))
        raw = idx_contents()[IDX_NAMES[2]][:, None]
    assert np.array_equal(pixels(source.test), raw)
    assert len(source.class_names) == 10 and source.train.shape == (1, 28, 28)


def test_fashion_mnist_is_accepted_by_either_sum(tmp_path):
    raw = write_idx(tmp_path, "FashionMNIST")
    kaggle = sums("fashion_mnist")
    line = refusal(sources.fashion_mnist, str(tmp_path), **kaggle)
    assert (
        "FashionMNIST/raw/train-images-idx3-ubyte is not the official file" in line and "or md5 f4a8712d7a06…" in line
    )
    here = {file: md5((raw / file).read_bytes()) for file in IDX_NAMES}
    assert sources.fashion_mnist(str(tmp_path), kaggle["sha256"], here).class_names[9] == "Ankle boot"


def test_other_files_are_refused_by_their_sha256_and_accepted_without(tmp_path):
    write_idx(tmp_path, side=8)
    line = refusal(sources.mnist, str(tmp_path), **sums("mnist"))
    assert "train-images-idx3-ubyte is not the official file" in line and "data.source.sha256=null" in line
    source = sources.mnist(str(tmp_path))
    assert source.train.shape == (1, 8, 8)
    assert np.array_equal(pixels(source.train)[:, 0], idx_contents(side=8)[IDX_NAMES[0]])
    assert source.train.labels.tolist() == [i % 10 for i in range(40)]


def test_checksum_follows_the_content_not_the_place(tmp_path):
    for place in ("a", "b"):
        write_idx(tmp_path / place)
    one, two = (sources.mnist(str(tmp_path / place)).checksum for place in ("a", "b"))
    raw = write_idx(tmp_path / "b")
    (raw / IDX_NAMES[3]).write_bytes(idx_bytes(np.zeros(20)))
    assert one == two != sources.mnist(str(tmp_path / "b")).checksum
