"""Every data set's reading: true pixels, downloads, and one line for each way a file can be wrong."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
import torch
from data_files import (
    IDX_NAMES,
    REAL_DATA,
    cifar_archive,
    idx_bytes,
    idx_contents,
    md5,
    pixels,
    refusal,
    write_idx,
    write_idx_archives,
)
from omegaconf import OmegaConf
from torchvision import datasets

from genrun.data import sources

CONF = Path(__file__).parents[1] / "conf" / "data"


# ------------------------------------------------------------------------------------------------------------- digits


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


# ------------------------------------------------------------------------------------------------------ MNIST's format


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


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        (0, lambda whole: whole[:-100], "truncated: its header promises 31376 bytes, the file has 31276"),
        (0, lambda whole: whole[:9], "truncated"),
        (0, lambda whole: b"", "got an empty file"),
        (0, lambda whole: whole + b"more", "the file has 31380"),
        (0, lambda whole: b"\x89PNG" + whole, "expected to begin with 00 00 08 03 (unsigned bytes in 3 dimensions)"),
        (2, lambda whole: idx_bytes(np.zeros(20)), "got 00 00 08 01"),
        (2, lambda whole: idx_bytes(np.zeros((20, 5, 5))), "training images are 28×28, its test images 5×5"),
        (1, lambda whole: idx_bytes(np.zeros(39)), "has 39 labels, but train-images-idx3-ubyte beside it has 40"),
        (3, lambda whole: idx_bytes(np.full(20, 12)), "holds the label 12, expected 0 to 9"),
    ],
)
def test_a_wrong_idx_file_is_named_in_one_line(file, content, words, tmp_path):
    raw = write_idx(tmp_path)
    path = raw / IDX_NAMES[file]
    path.write_bytes(content(path.read_bytes()))
    line = refusal(sources.mnist, str(tmp_path))
    assert words in line and str(raw) in line


# ----------------------------------------------------------------------------------------------------------- downloads


@pytest.fixture
def server(tmp_path):
    """A local server of `tmp_path/server`; yields its address."""
    (tmp_path / "server").mkdir()
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "server"))
    handler.func.log_message = lambda *args: None
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}/"
        serving.shutdown()


@pytest.fixture
def nowhere(monkeypatch):
    """Every download meets a closed port."""
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")


def test_mnist_is_downloaded_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "resources", write_idx_archives(tmp_path / "server"))
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server])
    source = sources.mnist(str(tmp_path / "data"))
    assert np.array_equal(pixels(source.train)[:, 0], idx_contents()[IDX_NAMES[0]])
    assert sorted(path.name for path in source.files) == sorted(IDX_NAMES)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["MNIST"]  # no temporary folder remains
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    assert sources.mnist(str(tmp_path / "data")).checksum == source.checksum


def test_archives_that_are_there_need_no_network(tmp_path, monkeypatch, nowhere):
    monkeypatch.setattr(datasets.MNIST, "resources", write_idx_archives(tmp_path / "MNIST" / "raw"))
    assert len(sources.mnist(str(tmp_path)).train) == 40


def test_a_download_with_a_wrong_md5_is_refused(server, tmp_path, monkeypatch):
    resources = write_idx_archives(tmp_path / "server")
    monkeypatch.setattr(datasets.MNIST, "resources", [(resources[0][0], "0" * 32), *resources[1:]])
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server])
    line = refusal(sources.mnist, str(tmp_path / "data"))
    assert "wrong md5" in line and "train-images-idx3-ubyte.gz" in line
    assert list((tmp_path / "data").iterdir()) == []


def test_without_network_the_line_names_files_folder_and_a_way_out(tmp_path, nowhere):
    raw = write_idx(tmp_path)
    (raw / IDX_NAMES[2]).unlink()
    line = refusal(sources.mnist, str(tmp_path))
    assert f"put {IDX_NAMES[2]} into {raw}" in line and "data=digits" in line and "refused" in line
    line = refusal(sources.cifar10, str(tmp_path))
    assert "test_batch" in line and str(tmp_path / "cifar-10-batches-py") in line and "data=digits" in line


def test_cifar10_is_downloaded_and_read(server, tmp_path, monkeypatch):
    archive = tmp_path / "server" / "cifar-10-python.tar.gz"
    files = cifar_archive(archive)
    sums = {name: md5(content) for name, content in files.items()}
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{server}{archive.name}")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(archive.read_bytes()))
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [[n, sums[n]] for n in ("data_batch_1", "data_batch_2")])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": sums["batches.meta"]})
    source = sources.cifar10(str(tmp_path / "data"))
    assert (len(source.train), len(source.test), source.train.shape) == (12, 6, (3, 32, 32))
    assert np.array_equal(pixels(source.train)[0].ravel(), np.arange(3072) % 256)
    assert source.train.labels.tolist() == [*range(6), *range(1, 7)] and source.class_names[3] == "class 3"
