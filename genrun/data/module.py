"""The data module: it splits, limits and resizes the images of a source and serves them in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from genrun.data.augmentation import Augmentation
from genrun.data.beforehand import check_options
from genrun.data.images import Images, Source, Stored, check_values, checksum_of, shuffled
from genrun.data.labels import numbered, numbers_of
from genrun.data.loaders import EpochOrder, Loader, MemoryLoader, StreamingLoader, check_workers
from genrun.data.summary import summary
from genrun.data.words import shown
from genrun.errors import Refused
from genrun.system.hardware import cores
from genrun.types import Batch, Facts

GIB = 2**30
LOOKED_AT = 64  # images of a set that does not fit in memory whose values are checked before training


class ImageData(LightningDataModule):
    """The data module: images for training, validation and test.

    Validation images are held out of the training images by a fixed permutation, so they are the same for every seed.
    Images that fit in `memory_limit` when decoded are kept in one uint8 tensor, on the accelerator if there is one.
    Otherwise workers decode them when needed. Both give the same batches.

    Args:
        source: reads the data set (one of genrun.data.sources, .folders or .arrays).
        batch_size: images in a batch.
        validation: number of images held out of the training split or, below 1, their share of it. If only some classes are kept, the
            number is reduced in proportion.
        limit: largest number of images in each split, the first of a fixed shuffle. It counts after images were held out.
        classes: keep only these classes, given by name or number and renumbered 0, 1, … in this order.
        resize: side to which the largest centred square of every image is resized.
        passes: how often an epoch goes over the training images.
        augment: changes the images of training batches at random; None: they stay as they are.
        memory_limit: largest size in GiB at which the decoded images are kept in memory.
        workers: processes that decode images that are not kept in memory, at most one for each core.
        seed: seed of the order of the training images.
        name: the data set's name in the names of folders.
    """

    resized_from = "the largest centred square of each"

    def __init__(
        self,
        source: Callable[[], Source],
        batch_size: int,
        validation: float = 0,
        limit: int | None = None,
        classes: Sequence[int | str] | None = None,
        resize: int | None = None,
        passes: int = 1,
        memory_limit: float = 4.0,
        workers: int = 2,
        seed: int = 0,
        name: str = "data",
        augment: Augmentation | None = None,
    ) -> None:
        super().__init__()
        check_options(
            {
                "batch_size": batch_size,
                "validation": validation,
                "limit": limit,
                "classes": classes,
                "resize": resize,
                "passes": passes,
                "memory_limit": memory_limit,
                "workers": workers,
                "seed": seed,
            }
        )
        self.source, self.batch_size, self.held_out, self.limit = source, batch_size, validation, limit
        self.classes = None if classes is None else list(classes)
        self.resize, self.passes, self.memory_limit = resize, passes, memory_limit
        self.workers, self.seed, self.name = min(workers, cores()), seed, name
        self.augment = augment or Augmentation()
        self._splits: dict[str, Images] = {}
        self._loaders: dict[str, Loader] = {}
        self._device = torch.device("cpu")
        self._start = 0  # batches of the first epoch that the resumed run has already seen

    def prepare(self) -> None:
        """Read the data and split it; a second call does nothing."""
        if self._splits:
            return
        source = self.source()
        train, test, names, checksum = source.train, source.test, source.class_names, source.checksum
        if self.classes is not None:
            numbers = self._numbers(names)
            if numbers != self.classes and all(isinstance(one, int) and one < len(names) for one in self.classes):
                # earlier versions took these numbers for places, not for names: a run on them gets another id
                checksum = checksum_of({"all classes": checksum, "classes by name": checksum})
            train, test = _only(train, numbers), _only(test, numbers)
            names = tuple(names[number] for number in numbers)
            if not len(train):
                raise Refused(f"data.classes={self.classes}: there is no training image of {', '.join(names)}")
        order = shuffled(len(train))
        count = self._validation_images(len(train), len(source.train))
        chosen = {
            "train": (train, order[count:]),
            "validation": (train, order[:count]),
            "test": (test, shuffled(len(test))),
        }
        # sorted, so that a batch's index does not depend on the shuffle that chose the images
        splits = {
            split: images.take(index[: self.limit].sort().values).resized(self.resize)
            for split, (images, index) in chosen.items()
        }
        if sum(images.nbytes for images in splits.values()) <= self.memory_limit * GIB:
            splits = {split: images.decoded() for split, images in splits.items()}
        self.augment.check(splits["train"].shape)
        self._facts = Facts(splits["train"].shape, len(names), names, len(splits["train"]), checksum)
        self._files = source.files
        dark = check_values(_some_pixels(splits["train"]), f"data {self.name} ({_place(source.files)})")
        self._notes = [*self._how_chosen(), *([dark] if dark else []), *source.notes]
        self._splits = splits

    def _how_chosen(self) -> list[str]:
        """Return in words which images were chosen, how they were resized, and what training does to them."""
        chosen = []
        if self.limit is not None:
            chosen.append(f"data.limit={self.limit} of each split, counted after holding out")
        if self.resize is not None:
            chosen.append(f"{self.resized_from}, resized to {self.resize}×{self.resize}")
        if self.augment.changes:
            chosen.append(self.augment.words())
        return chosen

    def summary(self) -> str:
        """Return one line that says which images were read, how they were split, and what was left out and why."""
        return summary(self.name, self.train, self.validation, self.test, self.facts().class_names, self._notes)

    def _numbers(self, names: tuple[str, ...]) -> list[int]:
        """Return the numbers of the chosen classes among all."""
        if not names:
            raise Refused(f"data.classes={self.classes} asks for classes, but this data has no labels: leave it null")
        numbers = numbers_of(self.classes, names, "data.classes")
        if not numbers or len(set(numbers)) < len(numbers):
            raise Refused(
                f"data.classes must name at least one class and none twice, got {self.classes}; the classes are "
                f"{numbered(names)}"
            )
        return numbers

    def _validation_images(self, train_size: int, whole: int) -> int:
        """Return the number of images to hold out of `train_size`, which are those of the chosen classes among `whole`."""
        share = self.held_out if self.held_out < 1 else self.held_out / max(1, whole)
        count = max(1, round(share * train_size)) if self.held_out else 0
        if count >= train_size:
            raise Refused(
                f"data.validation={self.held_out} leaves nothing to train on: expected fewer than the {train_size} "
                "training images there are"
            )
        return count

    def facts(self) -> Facts:
        self.prepare()
        return self._facts

    def files(self) -> list[Path]:
        """Return the files that were read, and the folders that were searched for them."""
        self.prepare()
        return self._files

    @property
    def train(self) -> Images:
        return self._split("train")

    @property
    def validation(self) -> Images:
        return self._split("validation")

    @property
    def test(self) -> Images:
        return self._split("test")

    def _split(self, split: str) -> Images:
        self.prepare()
        return self._splits[split]

    def check_workers(self) -> None:
        """Check, before training, that worker processes can be started, if there is anything to decode.

        Raises:
            Refused: they cannot.
        """
        if self.workers and not all(self._split(split).in_memory for split in ("train", "validation")):
            check_workers(self.workers)

    # ---------------------------------------------------------------------------------------------- Lightning's hooks

    def setup(self, stage: str | None = None) -> None:
        self.prepare()
        device = self.trainer.strategy.root_device if self.trainer is not None else torch.device("cpu")
        if device != self._device:
            self.teardown()
        self._device = device

    def teardown(self, stage: str | None = None) -> None:
        """Release the copies on the accelerator, and stop the workers."""
        for loader in self._loaders.values():
            loader.close()
        self._loaders.clear()

    def on_exception(self, exception: BaseException) -> None:
        self.teardown()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment a training batch, on its device, right before its step; other batches stay as they are."""
        return batch._replace(image=self.augment(batch.image)) if self.trainer.training else batch

    def train_dataloader(self) -> Loader:
        loader = self._loader("train", self._train_order())
        loader.sampler.start, self._start = self._start, 0
        return loader

    def val_dataloader(self) -> Loader | list:
        return self._loader("validation", self._order(len(self.validation)))

    def test_dataloader(self) -> Loader | list:
        return self._loader("test", self._order(len(self.test)))

    def _loader(self, split: str, order: EpochOrder) -> Loader | list:
        """Return the loader of a split, made once; for an empty split an empty list, which tells Lightning there is none."""
        if not order.size:
            return []
        if split not in self._loaders:
            images = self._split(split)
            self._loaders[split] = (
                MemoryLoader(images, order, self._device)
                if images.in_memory
                else StreamingLoader(images, order, self._device, self.workers)
            )
        return self._loaders[split]

    def _train_order(self) -> EpochOrder:
        return self._order(len(self.train), self.seed, self.passes)

    def _order(self, size: int, seed: int | None = None, passes: int = 1) -> EpochOrder:
        """Return the batches of an epoch, or this rank's share of them when several processes train."""
        ranks = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        return EpochOrder(size, self.batch_size, seed, passes, *ranks)

    def state_dict(self) -> dict[str, Any]:
        """Return how many batches of the current epoch are done; their order follows from seed and epoch."""
        if self.trainer is None:
            return {"batch": 0}
        seen = self.trainer.fit_loop.epoch_loop.batch_progress.current.processed
        return {"batch": int(seen % max(1, min(len(self._train_order()), self.trainer.num_training_batches)))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._start = int(state_dict["batch"])


def _some_pixels(images: Images) -> Tensor:
    """Return the pixels of all images in memory, or of some, evenly chosen, if they must be decoded."""
    if isinstance(images, Stored) and images.in_memory:
        return images.array
    return images.pixels(torch.linspace(0, len(images) - 1, min(len(images), LOOKED_AT)).long())


def _place(files: list[Path]) -> str:
    return shown(files[0]) if files else "made by genrun"


def _only(images: Images, classes: list[int]) -> Images:
    """Return the images of these classes, with labels renumbered in the order of `classes`."""
    number = {label: place for place, label in enumerate(classes)}
    keep = torch.isin(images.labels, torch.tensor(classes)).nonzero().squeeze(1)
    chosen = images.take(keep)
    return chosen.labelled(torch.tensor([number[label] for label in chosen.labels.tolist()], dtype=torch.int64))
