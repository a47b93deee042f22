"""Numbers are whole digits, each used once in each place, joined without touching; and they are data like any other."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from conftest import genrun
from data_files import IDX_NAMES, REAL_DATA, idx_bytes, pixels, refusal
from torch.nn import functional as F

from genrun.config.compose import compose
from genrun.config.trust import TRUSTED_DATA, check_trusted
from genrun.data import numbers
from genrun.data.facts import described_data
from genrun.data.images import Stored
from genrun.data.numbers import (
    GAP,
    NumbersData,
    joined,
    mnist_numbers,
    quantile_in_group,
    same_hand,
    strength_and_slant,
)
from genrun.parts import build_data, read_facts, with_facts
from genrun.runs.identity import identity, images_key

TRAIN, TEST = 240, 40


def drawn(n: int, widest: int = 20) -> np.ndarray:
    """n images of 28×28 like MNIST's: each one's ink is of one value, its number + 1, and lies anywhere."""
    random = np.random.RandomState(0)
    images = np.zeros((n, 28, 28), np.uint8)
    for i in range(n):
        height, width = random.randint(9, 21), random.randint(2, widest + 1)
        mask = random.rand(height, width) < random.choice([0.2, 0.5, 1.0])
        mask[0, 0] = mask[-1, -1] = True
        down, across = random.randint(0, 29 - height), random.randint(0, 29 - width)
        images[i, down : down + height, across : across + width] = mask * (i + 1)
    return images


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with files in MNIST's layout, of `drawn` digits."""
    return written(tmp_path_factory.mktemp("home"), 20)


def written(home, widest: int):
    raw = home / "MNIST" / "raw"
    raw.mkdir(parents=True)
    arrays = (drawn(TRAIN, widest), np.arange(TRAIN) % 10, drawn(TEST, widest), np.arange(TEST) % 10)
    for name, array in zip(IDX_NAMES, arrays, strict=True):
        (raw / name).write_bytes(idx_bytes(array))
    return home


def trimmed(mask: np.ndarray) -> np.ndarray:
    """(H, W) without empty rows and columns around."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.mark.parametrize("digits", [1, 2, 3, 4])
def test_every_digit_is_whole_apart_and_used_once_in_each_place(digits, home, monkeypatch):
    monkeypatch.setattr(numbers, "HANDS", 1)  # of so few images each would meet itself
    source = mnist_numbers(str(home), digits)
    for split, n in ((source.train, TRAIN), (source.test, TEST)):
        images, single = pixels(split)[:, 0], drawn(n)
        assert images.shape == (n, 28, 28 + 20 * (digits - 1))
        used = np.zeros((digits, n), int)
        for image, label in zip(images, split.labels.tolist(), strict=True):
            values = [value for value in np.unique(image) if value]
            values.sort(key=lambda value: np.flatnonzero((image == value).any(0))[0])  # from left to right
            assert (image > 0).sum() == sum((single[v - 1] > 0).sum() for v in values) or len(values) < digits
            columns = np.flatnonzero(image.any(0))
            assert abs(columns[0] - (image.shape[1] - 1 - columns[-1])) <= 1  # in the middle
            if len(values) < digits:  # the same image in two places
                continue
            masks = [image == value for value in values]
            for value, mask in zip(values, masks, strict=True):
                assert np.array_equal(trimmed(mask), trimmed(single[value - 1] > 0))
                rows = np.flatnonzero(mask.any(1))
                assert abs(rows[0] - (27 - rows[-1])) <= 1  # all on one height
            for place in range(1, digits):
                before = torch.from_numpy(np.logical_or.reduce(masks[:place])[None].astype(np.float32))
                near = F.max_pool2d(before, 2 * GAP + 1, 1, GAP)[0].bool().numpy()
                assert not (near & masks[place]).any()
            assert f"{label:0{digits}d}" == "".join(str((value - 1) % 10) for value in values)
            for place, value in enumerate(values):
                used[place, value - 1] += 1
        assert used.max() == 1 and used.sum() > 0.75 * used.size  # but for those that were passed over


@pytest.mark.parametrize("digits", [2, 3])
def test_each_place_has_each_image_once_and_neighbours_are_of_one_hand(digits):
    images, labels = drawn(TRAIN), np.arange(TRAIN) % 10
    orders = same_hand(images, labels, digits)
    assert all(np.array_equal(np.sort(order), np.arange(TRAIN)) for order in orders)
    assert not any((orders[0] == order).mean() > 0.2 for order in orders[1:])
    strong = quantile_in_group(strength_and_slant(images)[0], labels)
    assert strong.max() == 7 and all(np.array_equal(strong[orders[0]], strong[order]) for order in orders)


def test_slant_is_the_columns_that_ink_leans_in_a_row():
    upright, leaning = np.zeros((2, 1, 28, 28), np.uint8)
    upright[0, 4:24, 14] = 200
    leaning[0, np.arange(4, 24), 24 - np.arange(20)] = 200
    strength, slant = strength_and_slant(np.concatenate([upright, leaning]))
    assert strength.tolist() == [4000, 4000] and slant.tolist() == pytest.approx([0, -1])


def test_empty_images_take_no_room():
    images = drawn(60)
    images[:30] = 0
    for digits in (1, 2, 3):
        made = joined(Stored(array=torch.from_numpy(images)[:, None], labels=torch.arange(60) % 10), digits, "these")
        assert made.array.sum() == digits * images.astype(int).sum() and made.array.shape[-1] == 8 + 20 * digits


def test_the_same_files_make_the_same_numbers(home, tmp_path):
    one, two = mnist_numbers(str(home), 2), mnist_numbers(str(written(tmp_path, 20)), 2)
    assert one.checksum == two.checksum != mnist_numbers(str(home), 3).checksum
    assert torch.equal(one.train.array, two.train.array) and torch.equal(one.test.labels, two.test.labels)
    assert one.class_names[:2] == ("00", "01") and len(one.class_names) == 100 and one.class_names[-1] == "99"
    assert mnist_numbers(str(home), 3).class_names[7] == "007"


@pytest.mark.skipif(not (REAL_DATA / "MNIST" / "raw" / IDX_NAMES[0]).is_file(), reason="MNIST is not here")
def test_mnists_numbers_are_the_same_on_every_machine():
    source = mnist_numbers(str(REAL_DATA), 2)
    assert (len(source.train), len(source.test), source.train.shape) == (60000, 10000, (1, 28, 48))
    assert source.checksum.startswith("ef560cc7")
    assert source.train.labels.bincount().min() > 400 and source.train.labels.bincount().max() < 800


# -------------------------------------------------------------------------------------------------- data like any other


def options(home, *overrides: str) -> list[str]:
    return ["data=mnist_numbers", f"paths.data={home}", "data.source.sha256=null", "data.validation=40", *overrides]


def test_choices_of_data_hold_for_numbers_too(home):
    data = build_data(compose(options(home, "data.limit=50", "data.batch_size=10")))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [50, 40, 40]
    assert data.facts().image_shape == (1, 28, 48) and data.facts().num_classes == 100
    few = build_data(compose(options(home, "data.classes=[31,13,0]", "data.validation=0", "data.digits=2")))
    assert few.facts().class_names == ("31", "13", "00") and len(few.train) == few.facts().train_size < TRAIN
    source = mnist_numbers(str(home), 2)
    kept = [number for number in source.train.labels.tolist() if number in (31, 13, 0)]
    assert [few.facts().class_names[label] for label in few.train.labels.tolist()] == [f"{n:02d}" for n in kept]


def test_a_resized_number_stands_whole_on_a_black_square(home):
    data = build_data(compose(options(home, "data.digits=3", "data.resize=68")))
    native = build_data(compose(options(home, "data.digits=3")))
    assert data.facts().image_shape == (1, 68, 68) and data.train.in_memory
    large, small = pixels(data.train), pixels(native.train)
    assert np.array_equal(large[:, :, 20:48], small) and large[:, :, :20].max() == large[:, :, 48:].max() == 0
    assert build_data(compose(options(home, "data.resize=16"))).facts().image_shape == (1, 16, 16)


def test_the_number_of_digits_is_part_of_what_a_run_is_and_may_be_read_again(home):
    seen = set()
    for digits in (2, 3):
        cfg = compose(options(home, f"data.digits={digits}"))
        cfg = with_facts(cfg, read_facts(cfg)[0])
        assert len(cfg.data.facts.class_names) == 10**digits
        again = compose(options(home, f"data.digits={digits}"))
        facts, data = read_facts(again)
        assert data is None and facts.to_dict() == cfg.data.facts  # remembered
        check_trusted(described_data(cfg), "data", TRUSTED_DATA)
        cfg.data.facts.checksum = "the same"
        assert identity(cfg)["data"]["digits"] == digits
        seen.add(images_key(cfg))
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["data.digits=0"], "data.digits must be a whole number from 1 to 4, got 0"),
        (["data.digits=5"], "data.digits must be a whole number from 1 to 4, got 5"),
        (["data.digits=two"], "data.digits: expected an integer, got 'two'"),
        (["data.digit=3"], r"data.digit: no such option \(did you mean 'data.digits'\?\)"),
        (["+data.limits=3"], r"data.limits: NumbersData takes no such option \(did you mean 'limit'\?\)"),
        (["data.classes=[100]"], "data.classes: there is no class 100"),
    ],
)
def test_wrong_numbers_are_refused_in_one_line(overrides, line, home, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert genrun(*options(home, *overrides), monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and re.search(line, printed), printed
    assert not any(tmp_path.iterdir())


def test_digits_that_are_too_wide_are_refused(tmp_path):
    line = refusal(mnist_numbers, str(written(tmp_path, 28)), 3)
    assert "a number of 3 digits would be" in line and "expected at most 68" in line and "MNIST" in line
    assert "data.digits" in refusal(NumbersData, mnist_numbers, True, batch_size=1)
