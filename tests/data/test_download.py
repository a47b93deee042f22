"""Downloads: once, whole, or refused in a line that names a way out."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from data_files import (
    IDX_NAMES,
    cifar_archive,
    idx_contents,
    md5,
    pixels,
    refusal,
    write_idx,
    write_idx_archives,
)
from torchvision import datasets

from genrun.data import sources


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
