"""Loaders: the order of batches, from memory, from files, and shared by processes."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from data_files import REAL_DATA, write_idx, write_image

from genrun.data import folders, loaders, module, sources
from genrun.data.images import Stored
from genrun.data.loaders import EpochOrder, MemoryLoader, StreamingLoader, check_workers, failed_worker
from genrun.data.module import ImageData
from genrun.errors import Failed, Refused
from genrun.types import Batch


def digits(**options) -> ImageData:
    return ImageData(**{"source": sources.digits, "batch_size": 100, **options})


def test_order_is_a_function_of_seed_epoch_and_pass():
    def epoch(seed: int, number: int) -> list[list[int]]:
        order = EpochOrder(25, 10, seed=seed, passes=2)
        order.set_epoch(number)
        return [index.tolist() for index in order]

    batches = epoch(0, 4)
    assert batches == epoch(0, 4) and batches != epoch(1, 4) and batches != epoch(0, 5)
    assert [len(batch) for batch in batches] == [10, 10, 5, 10, 10, 5]
    first, second = ([i for batch in half for i in batch] for half in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(25)) and first != second
    assert [index.tolist() for index in EpochOrder(3, 2)] == [[0, 1], [2]]


def test_order_is_drawn_late_and_starts_in_the_middle_once():
    order = EpochOrder(25, 10, seed=0, passes=2)
    iterator = iter(order)
    order.set_epoch(3)
    whole = [index.tolist() for index in iterator]
    for start in range(7):
        order.start = start
        assert [index.tolist() for index in order] == whole[start:]
        assert [index.tolist() for index in order] == whole


def test_streaming_gives_the_batches_of_memory_and_leaves_the_global_stream_alone(tmp_path):
    for value in range(23):
        write_image(tmp_path / "train" / "ab"[value % 2] / f"{value:02d}.png", (value * 10, 0, 255 - value), 9, 7)
        write_image(tmp_path / "test" / "ab"[value % 2] / f"{value:02d}.png", (0, value, 0), 9, 7)
    source = partial(folders.image_folder, str(tmp_path))
    memory, files = (ImageData(source, 5, validation=3, resize=6, passes=2, memory_limit=m) for m in (1.0, 0))
    assert isinstance(memory.train_dataloader(), MemoryLoader)
    assert isinstance(files.train_dataloader(), StreamingLoader)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        one, two = getattr(memory, name)(), getattr(files, name)()
        for epoch in (0, 1):
            one.sampler.set_epoch(epoch)
            two.sampler.set_epoch(epoch)
            pairs = list(zip(one, two, strict=True))
            assert len(pairs) == len(one) == len(two)
            for a, b in pairs:
                assert isinstance(b, Batch) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(memory.test.images(torch.tensor([4, 0])), files.test.images(torch.tensor([4, 0])))
    files.teardown()


def test_batches_hold_what_their_index_says():
    data = digits(validation=137)
    for loader, split in ((data.train_dataloader(), data.train), (data.val_dataloader(), data.validation)):
        for batch in loader:
            assert batch.image.dtype == torch.float32 and batch.label.dtype == batch.index.dtype == torch.int64
            assert torch.equal(batch.image, split.images(batch.index))
            assert torch.equal(batch.label, split.labels[batch.index])
    assert torch.equal(torch.cat([batch.index for batch in data.test_dataloader()]), torch.arange(360))
    assert digits().val_dataloader() == []


def test_a_file_that_breaks_while_streaming_is_one_line(tmp_path):
    for value in range(12):
        write_image(tmp_path / f"{value}.png", value)
    data = ImageData(partial(folders.image_folder, str(tmp_path)), 2, memory_limit=0, workers=1)
    path = data.train.paths[5]
    path.write_bytes(b"no image any more")
    with pytest.raises(Failed) as caught:
        list(data.train_dataloader())
    data.teardown()
    assert str(caught.value).startswith(f"{path} is not a readable image") and "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------- workers that die or hang


class Broken(Stored):
    """Images of which a batch does something to the process that reads it."""

    in_memory = False

    def pixels(self, index):
        if 7 in index.tolist():
            self.break_down()
        return super().pixels(index)


def broken(break_down, monkeypatch, workers: int = 2) -> StreamingLoader:
    monkeypatch.setattr(loaders, "SECONDS_BETWEEN_LOOKS", 1)
    monkeypatch.setattr(Broken, "break_down", staticmethod(break_down), raising=False)
    images = Broken(array=torch.zeros(20, 1, 4, 4, dtype=torch.uint8), labels=torch.zeros(20, dtype=torch.int64))
    return StreamingLoader(images, EpochOrder(20, 2), torch.device("cpu"), workers)


def killed_by(number: int):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("break_down", "line"),
    [
        (killed_by(signal.SIGKILL), r"a data worker was killed by signal: Killed \(out of memory\?\); the same command goes on"),
        (killed_by(signal.SIGBUS), r"a data worker was killed by signal: Bus error; the same command"),
        (killed_by(signal.SIGSEGV), r"a data worker was killed by signal: Segmentation fault; the same command"),
        (lambda: os._exit(3), r"a data worker exited unexpectedly with exit code 3; the same command"),
        (lambda: os._exit(0), r"a data worker exited unexpectedly; .* data.workers=0 reads without workers$"),
        (lambda: [][1], r"^images could not be read: IndexError: list index out of range$"),
    ],
    ids=["killed", "bus error", "segmentation fault", "exit 3", "exit 0", "error"],
)  # fmt: skip
def test_a_worker_that_dies_ends_the_run_in_one_line(break_down, line, monkeypatch):
    loader, began = broken(break_down, monkeypatch), time.monotonic()
    try:
        with pytest.raises(Failed, match=line) as caught:
            list(loader)
        assert "\n" not in str(caught.value) and time.monotonic() - began < 30
    finally:
        loader.close()


def test_workers_that_hang_end_the_run_in_one_line(monkeypatch):
    loader = broken(killed_by(signal.SIGSTOP), monkeypatch)
    loader.patience = 1.5
    with pytest.raises(Failed, match=r"^the data workers have sent no batch for \d s: .* data.workers=0 reads without"):
        list(loader)
    assert not any(worker.is_alive() for worker in loader.loader._iterator._workers)
    loader.close()


def test_a_slow_batch_is_waited_for(monkeypatch):
    loader = broken(lambda: time.sleep(2.5), monkeypatch)
    assert len(list(loader)) == 10 and loader.patience == 62
    loader.close()


def test_an_error_without_workers_is_the_same_line(monkeypatch):
    with pytest.raises(Failed, match=r"^images could not be read: IndexError: list index out of range$") as caught:
        list(broken(lambda: [][1], monkeypatch, workers=0))
    assert "break_down" in str(caught.value.__cause__)  # log.txt says where


def test_workers_share_no_memory():
    """Tensors would go through /dev/shm, which is small in a container."""
    images = Stored(
        array=torch.zeros(20, 1, 4, 4, dtype=torch.uint8), labels=torch.zeros(20, dtype=torch.int64), size=6
    )
    loader = StreamingLoader(images, EpochOrder(20, 5, seed=0), torch.device("cpu"), 1)
    assert all(isinstance(index, np.ndarray) for index in loader.loader.sampler)
    assert [tuple(map(type, item)) for item in loader.loader] == [(np.ndarray, np.ndarray)] * 4
    loader.close()


def test_what_torch_says_of_other_things_is_no_dead_worker():
    assert failed_worker(RuntimeError("DataLoader timed out after 5 seconds")) is None
    assert failed_worker(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


def without_space(monkeypatch, bytes_free: int) -> None:
    monkeypatch.setattr(loaders.os, "statvfs", lambda _: SimpleNamespace(f_bavail=bytes_free // 512, f_frsize=512))


def test_too_little_shared_memory_is_known_before_training(monkeypatch, tmp_path):
    line = r"^data.workers=2: too little shared memory, expected \d+ KiB free in .*: data.workers=0$"
    monkeypatch.setattr(loaders, "SHARED_MEMORY", tmp_path)
    check_workers(2)
    without_space(monkeypatch, 2**16)
    with pytest.raises(Refused, match=line):
        check_workers(2)
    without_space(monkeypatch, 2**20)
    check_workers(2)
    monkeypatch.setattr(loaders.multiprocessing, "Lock", lambda: os.open(tmp_path / "gone", os.O_RDONLY))
    with pytest.raises(Refused, match=line):
        check_workers(2)


def test_only_data_that_workers_decode_needs_shared_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "cores", lambda: 3)
    monkeypatch.setattr(loaders, "SHARED_MEMORY", tmp_path)
    without_space(monkeypatch, 0)
    digits(workers=8).check_workers()
    digits(workers=0, memory_limit=0, resize=9).check_workers()
    with pytest.raises(Refused, match=r"data.workers=3: too little shared memory"):  # at most one for each core
        digits(workers=8, memory_limit=0, resize=9).check_workers()


@pytest.mark.slow
def test_memory_is_twenty_times_as_fast_as_torchvisions_data_loader(tmp_path):
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    root = REAL_DATA if (REAL_DATA / "MNIST" / "raw").is_dir() else write_idx(tmp_path, train=6000).parents[1]

    def rate(loader, batches: int) -> float:
        iterator = iter(loader)
        next(iterator)
        begin = time.perf_counter()
        for _ in range(batches):
            next(iterator)
        return batches / (time.perf_counter() - begin)

    ours = ImageData(partial(sources.mnist, str(root)), 100).train_dataloader()
    theirs = DataLoader(datasets.MNIST(root, transform=transforms.ToTensor()), 100, shuffle=True)
    assert max(rate(ours, 50) for _ in range(5)) > 20 * max(rate(theirs, 20) for _ in range(3))


# ------------------------------------------------------------------------------------------------- of several processes


def test_the_orders_of_the_processes_are_one_order():
    def order(*ranks: int) -> EpochOrder:
        found = EpochOrder(11, 4, 5, 2, *ranks)
        found.set_epoch(3)
        return found

    whole, parts = order(), [order(rank, 2) for rank in range(2)]
    assert len(parts[0]) == len(whole) == 6
    for number, (batch, *shares) in enumerate(zip(whole, *parts, strict=True)):
        assert whole.share(number).counted == len(batch)
        assert torch.equal(torch.cat(shares), batch)
    parts[1].start = 4
    assert [len(index) for index in parts[1]] == [2, 2]


def test_workers_outlive_the_signals_that_stop_a_run_so_that_it_can_end_its_batch(monkeypatch):
    loader = broken(lambda: [os.kill(os.getpid(), number) for number in (signal.SIGINT, signal.SIGTERM)], monkeypatch)
    try:
        assert len(list(loader)) == 10
    finally:
        loader.close()
