"""The data module: splits, options, and a run that stops anywhere and goes on with the batches that it would have seen."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from conftest import ROOT
from data_files import refusal, write_idx, write_image
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from torchvision.transforms import v2

from genrun.data import arrays, facts, folders, sources
from genrun.data.images import Source, Stored
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
        ({"classes": 3}, "expected a list of integers or texts or null, got 3"),
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


# ------------------------------------------------------------------------------------------------- the first line of a run


@pytest.fixture
def folder(tmp_path):
    """Twenty grey images of each of three classes, named 1, 2 and 3; every pixel is 70 times the name."""
    for name in (1, 2, 3):
        for number in range(20):
            write_image(tmp_path / str(name) / f"{number}.png", 70 * name)
    return partial(folders.image_folder, str(tmp_path))


def test_classes_are_chosen_by_name(folder):
    for classes in ([2], ["2"]):
        data = ImageData(folder, 2, classes=classes, validation=0.1)
        assert data.facts().class_names == ("2",) and set(numbers(data.train)) == {140}
    assert set(numbers(ImageData(folder, 2, classes=[0]).train)) == {70}  # no class has this name
    assert "there is no class 4; the classes are 0 1, 1 2, 2 3" in refusal(ImageData(folder, 2, classes=[4]).prepare)
    assert "none twice" in refusal(ImageData(folder, 2, classes=[1, 0]).prepare)
    assert "there is no class 'Trousers' (did you mean 'Trouser'?)" in refusal(
        ImageData(lambda: FASHION, 2, classes=["Trousers"]).prepare
    )
    assert "expected a list of integers or texts or null, got 'cat'" in refusal(ImageData, folder, 2, classes="cat")


FASHION = Source(*[Stored(array=torch.zeros(2, 1, 2, 2), labels=torch.arange(2))] * 2, ("T-shirt", "Trouser"), "", [])


def test_a_number_that_was_a_place_and_is_a_name_gives_another_checksum(folder, numbered):
    plain = ImageData(folder, 2).facts().checksum
    assert ImageData(folder, 2, classes=[1]).facts().checksum != plain  # was the folder 2, is the folder 1
    assert ImageData(folder, 2, classes=[0]).facts().checksum == plain  # as before
    assert ImageData(folder, 2, classes=["1"]).facts().checksum == plain  # was refused
    for classes in ([2, 0], ["2"]):
        assert ImageData(numbered, 2, classes=classes).facts().checksum == ImageData(numbered, 2).facts().checksum


def test_the_summary_says_what_was_read(numbered, folder):
    assert digits(name="digits", validation=137).summary() == (
        "data digits: 1,797 images of 1×8×8 (C×H×W): 1,300 to train, 137 held out, 360 to test; 10 classes: 0 126, 1 133, "
        "2 128, 3 137, 4 132, 5 131, 6 138, 7 121, 8 130, 9 124"
    )
    line = ImageData(numbered, 10, validation=15, limit=5, resize=2).summary()
    assert (
        "5 to train, 5 held out, 5 to test" in line and "data.limit=5 of each split, counted after holding out" in line
    )
    assert "the largest centred square of each, resized to 2×2" in line
    assert ImageData(folder, 2, classes=["3", 1]).summary().startswith("data data: 40 images of 1×6×6 (C×H×W): 3")
    assert "; 2 classes: 3 19, 1 18" in ImageData(folder, 2, classes=["3", 1]).summary()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"validation": 26}, "only 24 of 50 are trained on, because data.validation holds out the others"),
        ({"validation": 0.6}, "only 20 of 50 are trained on"),
        ({"validation": 26, "classes": [1]}, "only 8 of 17 are trained on"),
        ({"validation": 40, "limit": 20}, "only 10 of 30 are trained on"),
        ({"validation": 25}, None),
        ({"validation": 40, "limit": 5}, None),
        ({"validation": 10, "classes": [1, 2]}, None),
        ({"limit": 1}, "no image to train on of 0, 2"),
    ],
)
def test_less_than_half_to_train_on_is_said(numbered, options, words):
    line = ImageData(numbered, 10, **options).summary()
    assert (words in line) if words else ("only" not in line)


def test_a_chosen_class_without_images_is_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", images=np.full((20, 4, 4), 200, np.uint8), labels=np.zeros(20, int))
    source = partial(arrays.npz, str(tmp_path / "mine.npz"), num_classes=3)
    assert "data.classes=[2]: there is no training image of 2" in refusal(ImageData(source, 2, classes=[2]).prepare)
    assert "no image to train on of 1, 2" in ImageData(source, 2).summary()


@pytest.mark.parametrize("memory_limit", [4.0, 0.0])
def test_values_of_zero_and_one_are_refused(memory_limit, tmp_path):
    for number in range(4):
        Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / f"{number}.png")
    data = ImageData(partial(folders.image_folder, str(tmp_path)), 2, memory_limit=memory_limit)
    line = refusal(data.prepare)
    assert f"data data ({tmp_path}): the largest value is 1" in line and "would be black; multiply them by 255" in line


@pytest.mark.parametrize(("value", "words"), [(0, "every pixel is 0"), (16, "dark: the largest value is 16 of 255")])
def test_dark_images_are_said(value, words, tmp_path):
    images = np.zeros((20, 4, 4), np.uint8)
    images[:, 0] = value
    np.savez(tmp_path / "mine.npz", images=images)
    assert words in ImageData(partial(arrays.npz, str(tmp_path / "mine.npz")), 2).summary()


def test_many_classes_and_long_names_are_cut_short():
    labels = torch.arange(300) % 100
    images = Stored(array=torch.full((300, 1, 2, 2), 200, dtype=torch.uint8), labels=labels)
    many = Source(images, images, tuple(f"{n:02d}" for n in range(100)), "", [])
    assert "100 classes: 00 3, 01 3, 02 3, 96 more, 99 3 (from 3 to 3)" in ImageData(lambda: many, 2).summary()


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
