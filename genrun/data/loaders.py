"""The order of the images, and the two loaders that turn it into batches: from memory, or from files by workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from genrun.data.images import Images, Stored
from genrun.errors import Failed, Refused
from genrun.maths.sharding import Share
from genrun.types import Batch


class EpochOrder:
    """Which images each batch of an epoch holds: a pure function of (seed, epoch, pass).

    Lightning calls `set_epoch` after `iter(loader)` and before its first batch, so nothing is drawn until then.

    Args:
        size: number of images.
        batch_size: images in a batch; the last batch of a pass holds what remains.
        seed: of the permutations; None: always 0, 1, 2, …
        passes: how often an epoch goes over all images, each time in a fresh order.
        rank, processes: of every batch, only the rows that are the share of this one of so many processes.
    """

    def __init__(
        self, size: int, batch_size: int, seed: int | None = None, passes: int = 1, rank: int = 0, processes: int = 1
    ) -> None:
        self.size, self.batch_size, self.seed, self.passes = size, batch_size, seed, passes
        self.rank, self.processes = rank, processes
        self.epoch = 0
        self.start = 0  # batches that the next epoch leaves out, because a resumed run has seen them; then 0 again
        self.device = torch.device("cpu")

    @property
    def batches_per_pass(self) -> int:
        return -(-self.size // self.batch_size)

    def __len__(self) -> int:
        return self.passes * self.batches_per_pass

    def share(self, batch: int) -> Share:
        """Which rows of the epoch's batch number `batch` are served here."""
        before = batch % self.batches_per_pass * self.batch_size
        return Share.of(min(self.batch_size, self.size - before), self.rank, self.processes)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def permutation(self, epoch: int, passage: int) -> Tensor:
        """(N,) int64, the order of one pass."""
        if self.seed is None:
            return torch.arange(self.size)
        return torch.from_numpy(np.random.default_rng((self.seed, epoch, passage)).permutation(self.size))

    def __iter__(self) -> Iterator[Tensor]:
        start, self.start = self.start, 0
        epoch = self.epoch
        for passage in range(start // max(1, self.batches_per_pass), self.passes):
            batches = self.permutation(epoch, passage).to(self.device).split(self.batch_size)
            first = max(0, start - passage * self.batches_per_pass)
            yield from (index[self.share(number).rows] for number, index in enumerate(batches[first:], first))


class Loader:
    """What Lightning looks for in a loader besides its batches: `sampler.set_epoch`, a length, and a state.

    The state is empty, for the data module keeps the place; without one Lightning warns that nothing could be resumed.
    """

    batch_sampler = None  # asked for where there is a sampler

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
        """Let go of what the loader holds outside this process."""


class MemoryLoader(Loader):
    """Batches by one indexing each, on the device that holds the images: no workers, no image by itself.

    Args:
        images: in memory; they are copied to `device` once.
        order: the batches of an epoch.
        device: where batches are made.
    """

    def __init__(self, images: Stored, order: EpochOrder, device: torch.device) -> None:
        super().__init__(order)
        order.device = device
        self.array = images.array.to(device)  # (N, C, H, W) uint8
        self.labels = images.labels.to(device)  # (N,)

    def __iter__(self) -> Iterator[Batch]:
        # by numpy on the CPU: torch would share 100 small images among threads, and on a busy machine wait 20 ms
        on_cpu = self.array.device.type == "cpu"
        array = self.array.numpy() if on_cpu else self.array
        for index in self.sampler:
            if on_cpu:
                image = torch.from_numpy(np.divide(array[index.numpy()], np.float32(255), dtype=np.float32))
            else:
                image = array.index_select(0, index).div(255)
            yield Batch(image, self.labels.index_select(0, index), index)


class StreamingLoader(Loader):
    """The same batches decoded by worker processes, for images that do not fit in memory.

    Args:
        images: files, or images in memory that are too many when resized.
        order, device: as in `MemoryLoader`.
        workers: processes; 0 decodes in this one.
    """

    def __init__(self, images: Images, order: EpochOrder, device: torch.device, workers: int) -> None:
        super().__init__(order)
        self.labels, self.device = images.labels, device
        self.loader = DataLoader(
            _Decoder(images),
            sampler=order,
            batch_size=None,  # one item of the sampler is a whole batch's index
            collate_fn=_unchanged,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_ignore_interrupt,
            pin_memory=device.type == "cuda",
            generator=torch.Generator(),  # the workers' seeds must not move the global stream, which is training's
        )

    def __iter__(self) -> Iterator[Batch]:
        for index, pixels in self.loader:
            if isinstance(pixels, str):
                raise Failed(pixels)
            image = pixels.to(self.device, non_blocking=True).div(255)
            yield Batch(image, self.labels[index].to(self.device), index.to(self.device))

    def close(self) -> None:
        """End the workers now: those that the garbage collector ends, perhaps in a fork, may hang for ten seconds."""
        iterator, self.loader._iterator = self.loader._iterator, None  # torch has no public way
        if iterator is not None:
            iterator._shutdown_workers()


class _Decoder(Dataset):
    """A batch's index → (index, pixels uint8), or (index, the error's line): an exception would lose its line here."""

    def __init__(self, images: Images) -> None:
        self.images = images

    def __getitem__(self, index: Tensor) -> tuple[Tensor, Tensor | str]:
        try:
            return index, self.images.pixels(index)
        except Refused as error:
            return index, str(error)


def _unchanged(item: tuple[Tensor, Tensor | str]) -> tuple[Tensor, Tensor | str]:
    return item


def _ignore_interrupt(_: int) -> None:
    """Ctrl-C reaches the workers too, but the run stops at a batch boundary and still needs them until then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
