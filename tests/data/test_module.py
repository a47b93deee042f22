"""The data module: splits, options, and a run that stops anywhere and goes on with the batches that it would have seen."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import ROOT
from data_files import refusal, write_idx
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torchvision.transforms import v2

from genrun.data import arrays, facts, sources
from genrun.data.module import ImageData
from genrun.types import Facts


def digits(**options) -> ImageData:
    return ImageData(**{"source": sources.digits, "batch_size": 100, **options})


@pytest.fixture
def numbered(tmp_path):
    """50 + 20 images of 4×4 whose every pixel is the image's number (from 100 in the test split), in three classes."""
    for split, first, n in (("train", 0, 50), ("test", 100, 20)):
        images = np.repeat(np.arange(first, first + n, dtype=np.uint8), 16).reshape(n, 4, 4)
        np.savez(tmp_path / f"{split}.npz", images=images, labels=np.arange(n) % 3)
    return partial(arrays.npz, str(tmp_path))


def numbers(images) -> list[int]:
    return (images.images(torch.arange(len(images)))[:, 0, 0, 0] * 255).round().int().tolist()


# --------------------------------------------------------------------------------------------------------------- splits


def test_images_are_the_sources_pixels_over_255():
    data, source = digits(), sources.digits()
    index = torch.tensor([3, 0, 1436])
    assert torch.equal(data.train.images(index), source.train.array[index] / 255)
    assert data.train.images(index).dtype == torch.float32
    assert torch.equal(data.train.labels, source.train.labels) and data.train.labels.dtype == torch.int64
    assert data.facts() == Facts((1, 8, 8), 10, tuple("0123456789"), 1437, source.checksum)
    assert data.files() == source.files


def test_validation_is_held_out_and_the_same_for_every_seed(numbered):
    one, two = (ImageData(numbered, 10, validation=15, seed=seed) for seed in (0, 1))
    assert (len(one.train), len(one.validation), len(one.test)) == (35, 15, 20)
    assert sorted(numbers(one.train) + numbers(one.validation)) == list(range(50))
    assert numbers(one.validation) == numbers(two.validation) != list(range(15))
    assert numbers(one.train) == sorted(numbers(one.train))
    assert numbers(one.test) == list(range(100, 120))
    assert len(ImageData(numbered, 10, validation=0.1).validation) == 5
    assert one.facts().train_size == 35


def test_limit_takes_the_first_of_a_fixed_shuffle(numbered):
    few, more = (ImageData(numbered, 10, validation=15, limit=limit) for limit in (5, 18))
    assert [len(split) for split in (more.train, more.validation, more.test)] == [18, 15, 18]
    assert set(numbers(few.train)) < set(numbers(more.train)) and numbers(few.train) != [0, 1, 2, 3, 4]
    whole = ImageData(numbered, 10, validation=15)
    assert set(numbers(more.train)) < set(numbers(whole.train))


def test_classes_are_kept_and_renumbered_in_their_order(numbered):
    data = ImageData(numbered, 10, classes=[2, 0])
    assert numbers(data.train) == [i for i in range(50) if i % 3 in (0, 2)]
    assert data.train.labels[:4].tolist() == [1, 0, 1, 0]  # images 0, 2, 3, 5
    assert data.facts().class_names == ("2", "0") and data.facts().num_classes == 2
    assert set(data.test.labels.tolist()) == {0, 1}
    assert data.facts().checksum == ImageData(numbered, 10).facts().checksum


@pytest.mark.parametrize("memory_limit", [4.0, 0.0])
def test_resize_is_torchvisions(memory_limit):
    data = digits(resize=12, memory_limit=memory_limit)
    expected = v2.functional.resize(sources.digits().train.array[:5], [12, 12], antialias=True)
    assert data.train.shape == data.facts().image_shape == (1, 12, 12)
    assert torch.equal(data.train.images(torch.arange(5)), expected / 255)


def test_resize_takes_the_largest_centred_square(tmp_path):
    wide = np.zeros((3, 4, 8, 3), np.uint8)
    wide[:, :, 2:6] = (10, 200, 30)  # the square
    np.savez(tmp_path / "wide.npz", images=wide)
    images = ImageData(partial(arrays.npz, str(tmp_path / "wide.npz")), 1, resize=2).train
    assert (images.images(torch.tensor([0]))[0, :, 0, 0] * 255).tolist() == [10, 200, 30]
    assert images.shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "data.batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 1e3}, "data.batch_size must be a whole number of at least 1, got 1000.0"),
        ({"limit": 0}, "data.limit must be a whole number of at least 1, got 0"),
        ({"passes": 0}, "data.passes"),
        ({"workers": -1}, "data.workers must be a whole number of at least 0"),
        ({"validation": -1}, "data.validation must be a number of images, or a share below 1, got -1"),
        ({"validation": 1437}, "expected fewer than the 1437 training images"),
        ({"classes": [3, 10]}, "there is no class 10; the classes are 0, 1, 2"),
        ({"classes": [3, 3]}, "none twice, got [3, 3]"),
        ({"classes": 3}, "must be a list such as [3,5] or [cat,dog], got 3"),
    ],
)
def test_wrong_options_are_refused(options, words):
    assert words in refusal(lambda: digits(**options).prepare())


def test_of_chosen_classes_the_same_share_is_held_out(numbered):
    whole, some = ImageData(numbered, 10, validation=10), ImageData(numbered, 10, validation=10, classes=[1])
    assert (len(whole.train), len(whole.validation)) == (40, 10)
    kept = len(some.train) + len(some.validation)
    assert len(some.validation) == round(kept * 10 / 50) and kept < 20


def test_classes_need_labels_and_have_names(tmp_path):
    np.savez(tmp_path / "plain.npz", images=np.zeros((9, 4, 4), np.uint8))
    data = ImageData(partial(arrays.npz, str(tmp_path / "plain.npz")), 2, classes=[0])
    assert "this data has no labels" in refusal(data.prepare)
    source = partial(sources.fashion_mnist, str(write_idx(tmp_path, "FashionMNIST").parents[1]))
    assert "1 Trouser, 2 Pullover" in refusal(ImageData(source, 2, classes=[12]).prepare)


def test_every_configuration_composes_and_digits_instantiates():
    names = sorted(path.stem for path in (ROOT / "conf" / "data").glob("*.yaml"))
    assert names == [
        "celeba",
        "celeba_anime",
        "cifar10",
        "digits",
        "fashion_mnist",
        "image_folder",
        "mnist",
        "mnist_numbers",
        "npz",
        "swiss_roll",
    ]
    with initialize_config_module("genrun.conf", version_base=None):
        for name in names:
            config = compose(overrides=[f"+data={name}", "+seed=3", "+paths.data=nowhere"])
            data = OmegaConf.to_container(config, resolve=True)["data"]
            assert set(data.pop("facts")) == set(facts.FACT_FIELDS) and data["name"] == name
            module = instantiate(data)
            assert (module.batch_size, module.seed, module.name) == (100, 3, name)
            if name == "digits":
                assert (len(module.train), len(module.validation), len(module.train_dataloader())) == (
                    1300,
                    137,
                    4 * 13,
                )


# ----------------------------------------------------------------------------------------------------------- resumption


EPOCHS = 3


class Recorder(pl.LightningModule):
    """Learns nothing of interest, and keeps the index of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[list[int]] = []

    def training_step(self, batch, _):
        self.seen.append(batch.index.tolist())
        assert torch.equal((batch.image[:, 0, 0, 0] * 255).round().long(), self.numbers[batch.index])
        return (self.weight * batch.image.mean()).sum()

    def validation_step(self, batch, _):
        pass

    def on_fit_start(self) -> None:
        train = self.trainer.datamodule.train
        self.numbers = (train.images(torch.arange(len(train)))[:, 0, 0, 0] * 255).round().long()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SavesEverywhere(pl.Callback):
    """Saves a checkpoint at each batch's end, each validation's end and each epoch's end."""

    def __init__(self, folder) -> None:
        self.folder, self.saved = folder, []

    def save(self, trainer, event: str) -> None:
        path = self.folder / f"{len(self.saved)}.ckpt"
        trainer.save_checkpoint(path)
        self.saved.append((event, len(trainer.lightning_module.seen), path))

    def on_train_batch_end(self, trainer, *_) -> None:
        self.save(trainer, "batch")

    def on_validation_end(self, trainer, *_) -> None:
        self.save(trainer, "validation")

    def on_train_epoch_end(self, trainer, *_) -> None:
        self.save(trainer, "epoch")


@pytest.fixture
def source(tmp_path):
    """25 images whose pixels are their numbers; two of them validate."""
    images = np.repeat(np.arange(25, dtype=np.uint8), 16).reshape(25, 4, 4)
    np.savez(tmp_path / "train.npz", images=images)
    np.savez(tmp_path / "test.npz", images=images)
    return partial(arrays.npz, str(tmp_path))


def fit(data: ImageData, *callbacks, checkpoint=None) -> Recorder:
    recorder = Recorder()
    trainer = pl.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=list(callbacks),
    )
    trainer.fit(recorder, datamodule=data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return recorder


def module(source, **options) -> ImageData:
    return ImageData(source, **{"batch_size": 5, "validation": 2, "seed": 7, **options})


@pytest.mark.filterwarnings("error:.*resum.*")
@pytest.mark.parametrize(
    ("options", "every"),
    [({}, 1), ({"batch_size": 10, "passes": 2}, 2), ({"memory_limit": 0, "resize": 4, "workers": 1}, 4)],
    ids=["memory", "passes", "streaming"],
)
def test_a_resumed_run_sees_the_remaining_batches(source, options, every, tmp_path):
    saves = SavesEverywhere(tmp_path)
    whole = fit(module(source, **options), saves).seen
    batches = len(module(source, **options).train_dataloader())
    assert len(whole) == EPOCHS * batches and whole[:batches] != whole[batches : 2 * batches]
    assert {event for event, *_ in saves.saved} == {"batch", "validation", "epoch"}
    for event, seen, path in saves.saved[::every]:
        rest = fit(module(source, **options), checkpoint=path).seen
        assert rest == whole[seen:], f"stopped after {seen} batches, at a {event}'s end"


def test_state_is_plain_and_empty_without_a_trainer(source):
    assert module(source).state_dict() == {"batch": 0}
