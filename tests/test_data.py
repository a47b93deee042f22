"""The data module: splits, loaders, resumption, and the cache of facts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import REAL_DATA, refusal, write_idx, write_image
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torchvision.transforms import v2

from genrun.data import arrays, facts, folders, sources
from genrun.data.loaders import EpochOrder, MemoryLoader, StreamingLoader
from genrun.data.module import ImageData
from genrun.errors import Failed
from genrun.types import Batch, Facts


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


# -------------------------------------------------------------------------------------------------------------- splits


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
        ({"classes": 3}, "must be a list such as [3,5], got 3"),
    ],
)
def test_wrong_options_are_refused(options, words):
    assert words in refusal(lambda: digits(**options).prepare())


def test_classes_need_labels_and_have_names(tmp_path):
    np.savez(tmp_path / "plain.npz", images=np.zeros((9, 4, 4), np.uint8))
    data = ImageData(partial(arrays.npz, str(tmp_path / "plain.npz")), 2, classes=[0])
    assert "this data has no labels" in refusal(data.prepare)
    source = partial(sources.fashion_mnist, str(write_idx(tmp_path, "FashionMNIST").parents[1]))
    assert "1 Trouser, 2 Pullover" in refusal(ImageData(source, 2, classes=[12]).prepare)


def test_every_configuration_composes_and_digits_instantiates():
    names = sorted(path.stem for path in (Path(__file__).parents[1] / "conf" / "data").glob("*.yaml"))
    assert names == ["celeba", "cifar10", "digits", "fashion_mnist", "image_folder", "mnist", "mnist_numbers", "npz"]
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


# ------------------------------------------------------------------------------------------------------------- loaders


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


# ----------------------------------------------------------------------------------------------------- cache of facts


def test_facts_are_recalled_while_the_files_are_the_same(tmp_path):
    file, cache = tmp_path / "a.npz", tmp_path / "cache"
    file.write_bytes(b"one")
    known = Facts((3, 4, 4), 2, ("a", "b"), 7, "sum")
    config = {"name": "npz", "batch_size": 5, "seed": 1, "facts": {"num_classes": "???"}}
    assert facts.recall(config, cache) is None
    facts.remember(config, known, [file], cache)
    assert facts.recall(config, cache) == known
    assert facts.recall({**config, "seed": 2, "facts": known.plain()}, cache) == known
    assert facts.recall({**config, "limit": 6}, cache) is None
    os.utime(file, ns=(1, 1))
    assert facts.recall(config, cache) is None
    facts.remember(config, known, [file], cache)
    assert facts.recall(config, cache) == known
    file.unlink()
    assert facts.recall(config, cache) is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 1}', '{"format": 1, "read": [], "facts": {"a": 1}}'])
def test_a_damaged_entry_is_ignored_and_rewritten(damage, tmp_path):
    known = Facts((3, 4, 4), 0, (), 7, "sum")
    facts.remember({"name": "x"}, known, [], tmp_path)
    (entry,) = (tmp_path / "facts").iterdir()
    entry.write_text(damage)
    assert facts.recall({"name": "x"}, tmp_path) is None
    facts.remember({"name": "x"}, known, [], tmp_path)
    assert facts.recall({"name": "x"}, tmp_path) == known


@pytest.mark.parametrize("many", [1000, 3])
def test_a_file_that_joins_a_folder_is_noticed(many, tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "MANY", many)
    for value in range(8):
        write_image(tmp_path / "data" / "ab"[value % 2] / f"{value}.png", value)
    data = ImageData(partial(folders.image_folder, str(tmp_path / "data")), 2)
    facts.remember({"name": "x"}, data.facts(), data.files(), tmp_path / "cache")
    assert facts.recall({"name": "x"}, tmp_path / "cache") == data.facts()
    (entry,) = (tmp_path / "cache" / "facts").iterdir()
    assert len(json.loads(entry.read_text())["read"]) == (11 if many > 3 else 3)
    write_image(tmp_path / "data" / "b" / "new.png", 3)
    assert facts.recall({"name": "x"}, tmp_path / "cache") is None


def test_a_cache_that_cannot_be_written_to_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    facts.remember({"name": "x"}, Facts((1, 2, 2), 0, (), 1, ""), [], tmp_path / "file")
    assert facts.recall({"name": "x"}, tmp_path / "file") is None


def test_facts_are_recalled_without_torch():
    code = "import sys, genrun.data.facts; sys.exit(sum(m in sys.modules for m in ('torch', 'pytorch_lightning')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
