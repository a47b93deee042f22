"""Order the images of an epoch, and load them in batches: from memory, or from files by worker processes."""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import re
import signal
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genrun.data.images import Images, Stored
from genrun.errors import Failed, Refused
from genrun.maths.sharding import Share
from genrun.types import Batch

SECONDS_BETWEEN_LOOKS = 5  # at the workers, while a batch is awaited
# Workers that send nothing for as long as this, for a batch and each of its images, hang; the slowest files take a tenth of it.
SECONDS_PER_BATCH, SECONDS_PER_IMAGE = 60, 1
SHARED_MEMORY = Path("/dev/shm")
LOADERS = 2  # with workers at the same time: of training and of held-out images


class EpochOrder:
    """The images of each batch of an epoch: a pure function of (seed, epoch, pass).

    Lightning calls `set_epoch` after `iter(loader)` and before its first batch, so nothing is drawn until then.

    Args:
        size: number of images.
        batch_size: images in a batch; the last batch of a pass holds what remains.
        seed: seed of the permutations; None: the order is always 0, 1, 2, …
        passes: how often an epoch goes over all images, each time in a new order.
        rank, processes: rank of this process and number of processes; each gets only its share of every batch's rows.
    """

    def __init__(
        self, size: int, batch_size: int, seed: int | None = None, passes: int = 1, rank: int = 0, processes: int = 1
    ) -> None:
        self.size, self.batch_size, self.seed, self.passes = size, batch_size, seed, passes
        self.rank, self.processes = rank, processes
        self.epoch = 0
        self.start = 0  # batches that the next epoch skips, because the resumed run has already seen them; 0 after that
        self.device = torch.device("cpu")

    @property
    def batches_per_pass(self) -> int:
        return -(-self.size // self.batch_size)

    def __len__(self) -> int:
        return self.passes * self.batches_per_pass

    def share(self, batch: int) -> Share:
        """Return this rank's share of the rows of batch number `batch` of the epoch."""
        before = batch % self.batches_per_pass * self.batch_size
        return Share.of(min(self.batch_size, self.size - before), self.rank, self.processes)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def permutation(self, epoch: int, pass_number: int) -> Tensor:
        """Return the order of the images in one pass of an epoch: (N,) int64."""
        if self.seed is None:
            return torch.arange(self.size)
        return torch.from_numpy(np.random.default_rng((self.seed, epoch, pass_number)).permutation(self.size))

    def __iter__(self) -> Iterator[Tensor]:
        start, self.start = self.start, 0
        epoch = self.epoch
        for pass_number in range(start // max(1, self.batches_per_pass), self.passes):
            batches = self.permutation(epoch, pass_number).to(self.device).split(self.batch_size)
            first = max(0, start - pass_number * self.batches_per_pass)
            yield from (index[self.share(number).rows] for number, index in enumerate(batches[first:], first))


class Loader:
    """A loader with what Lightning needs besides the batches: `sampler.set_epoch`, a length, and a state.

    The state is empty because the data module keeps the place in the epoch. Without a state, Lightning warns that the
    loader cannot be resumed.
    """

    batch_sampler = None  # Lightning reads it from a loader that has a sampler

    def __init__(self, order: EpochOrder) -> None:
        self.sampler = order

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        raise NotImplementedError

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        pass

    def close(self) -> None:
        """Release what the loader holds outside this process."""


class MemoryLoader(Loader):
    """A loader that makes each batch by one indexing operation, on the device that holds the images, without workers.

    Args:
        images: images in memory; they are copied to `device` once.
        order: the order of the images.
        device: the device on which batches are made.
    """

    def __init__(self, images: Stored, order: EpochOrder, device: torch.device) -> None:
        super().__init__(order)
        order.device = device
        self.array = images.array.to(device)  # (N, C, H, W) uint8
        self.labels = images.labels.to(device)  # (N,)

    def __iter__(self) -> Iterator[Batch]:
        # numpy on the CPU: torch would split 100 small images among threads, and wait 20 ms for them on a busy machine
        on_cpu = self.array.device.type == "cpu"
        array = self.array.numpy() if on_cpu else self.array
        for index in self.sampler:
            if on_cpu:
                image = torch.from_numpy(np.divide(array[index.numpy()], np.float32(255), dtype=np.float32))
            else:
                image = array.index_select(0, index).div(255)
            yield Batch(image, self.labels.index_select(0, index), index)


class StreamingLoader(Loader):
    """A loader whose worker processes decode the images, for images that do not fit in memory.

    It gives the same batches as `MemoryLoader`. Workers get indices and send pixels as arrays, through pipes: tensors would go through
    shared memory, of which containers have little, and a worker that finds none left sends nothing and lives on.

    Args:
        images: files, or images in memory that do not fit once resized.
        order, device: as in `MemoryLoader`.
        workers: number of worker processes; 0: this process decodes.
    """

    def __init__(self, images: Images, order: EpochOrder, device: torch.device, workers: int) -> None:
        super().__init__(order)
        self.labels, self.device = images.labels, device
        self.patience = SECONDS_PER_BATCH + order.batch_size * SECONDS_PER_IMAGE
        self.loader = DataLoader(
            _Decoder(images),
            sampler=_Arrays(order),
            batch_size=None,  # each item of the sampler is the index of a whole batch
            collate_fn=_unchanged,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_ignore_signals,
            timeout=SECONDS_BETWEEN_LOOKS if workers else 0,
            generator=torch.Generator(),  # drawing the workers' seeds must not advance the global stream, which belongs to training
        )

    def __iter__(self) -> Iterator[Batch]:
        iterator = iter(self.loader)
        while (item := self._next(iterator)) is not None:
            index, pixels = torch.from_numpy(item[0]), item[1]
            if isinstance(pixels, _Unreadable):
                raise Failed(pixels.line) from RuntimeError(pixels.traceback)
            image = torch.from_numpy(pixels).to(self.device).div(255)
            yield Batch(image, self.labels[index].to(self.device), index.to(self.device))

    def _next(self, iterator: Iterator) -> tuple[np.ndarray, np.ndarray | _Unreadable] | None:
        """Return the next index and its pixels; None if there are no more.

        Raises:
            Failed: a worker died, or all have been silent for too long.
        """
        began = time.monotonic()
        while True:
            try:
                return next(iterator, None)
            except RuntimeError as error:
                if (failed := failed_worker(error)) is not None:
                    raise failed from error
                if "timed out" not in str(error):
                    raise
                if (waited := time.monotonic() - began) > self.patience:
                    for worker in iterator._workers:
                        with contextlib.suppress(RuntimeError):  # that this worker is dead
                            worker.kill()  # when the process exits, it would wait for a worker that hangs
                            worker.join(SECONDS_BETWEEN_LOOKS)
                    raise Failed(
                        f"the data workers have sent no batch for {waited:.0f} s: does the file system answer? The same command goes on "
                        "from the last checkpoint; data.workers=0 reads without workers"
                    ) from error

    def close(self) -> None:
        """Stop the workers now: if the garbage collector stops them, perhaps in a fork, that may hang for ten seconds."""
        iterator, self.loader._iterator = self.loader._iterator, None  # torch has no public way
        if iterator is not None:
            iterator._shutdown_workers()


def failed_worker(error: RuntimeError) -> Failed | None:
    """Return the error for a worker that died, if this is what torch says; torch may raise it wherever the main thread is.

    Args:
        error: what torch raised.
    """
    # the cause knows the signal, where the error does not
    said = [re.match(r"DataLoader worker \(pid.* \d+\) (.+?)(\. |\.?$)", str(one)) for one in (error.__cause__, error)]
    found = next(filter(None, said), None)
    if found is None:
        return None
    how = found[1].replace("is killed", "was killed")
    cause = " (out of memory?)" if how.endswith("Killed") else ""
    return Failed(
        f"a data worker {how}{cause}; the same command goes on from the last checkpoint; data.workers=0 reads without workers"
    )


def check_workers(workers: int) -> None:
    """Check that worker processes can be started.

    Python's queues need a page of shared memory for each of their semaphores: three for a queue, and five for an event.

    Raises:
        Refused: this system has no shared memory, or too little.
    """
    needed = LOADERS * (8 + 3 * workers) * mmap.PAGESIZE
    try:
        multiprocessing.Lock()
        space = os.statvfs(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None
        enough = space is None or space.f_bavail * space.f_frsize >= needed
    except OSError:  # what the first semaphore raises where nothing can be shared
        enough = False
    if not enough:
        raise Refused(
            f"data.workers={workers}: too little shared memory, expected {needed // 1024} KiB free in {SHARED_MEMORY}; give the container "
            "more (docker run --shm-size=64m), or read without workers: data.workers=0"
        )


class _Arrays:
    """The indices of an order's batches as arrays: torch would send tensors through shared memory."""

    def __init__(self, order: EpochOrder) -> None:
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (index.numpy() for index in self.order)


class _Unreadable(NamedTuple):
    """Why a batch could not be read."""

    line: str
    traceback: str


class _Decoder(Dataset):
    """Map a batch's index to (index, uint8 pixels) or (index, why not): an error that a worker raises would lose its one line."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __getitem__(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray | _Unreadable]:
        try:
            return index, self.images.pixels(torch.from_numpy(index)).numpy()
        except Refused as error:
            return index, _Unreadable(str(error), traceback.format_exc())
        except Exception as error:
            line = f"images could not be read: {type(error).__name__}: {error}"
            return index, _Unreadable(line, traceback.format_exc())


def _unchanged(item: tuple[np.ndarray, np.ndarray | _Unreadable]) -> tuple[np.ndarray, np.ndarray | _Unreadable]:
    return item


def _ignore_signals(_: int) -> None:
    """Ignore Ctrl-C and SIGTERM in a worker: the run stops at the end of a batch and needs its workers until then.

    A worker whose run has gone ends by itself.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
