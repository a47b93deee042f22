"""Training images mirrored and shifted at random."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import TINY, outcome
from helpers.callbacks import Disturbance
from rich.console import Console

from genrun.config.compose import compose
from genrun.data import sources
from genrun.data.augmentation import Augmentation
from genrun.data.module import ImageData
from genrun.errors import Interrupted, Refused
from genrun.maths.sharding import Share, sharing
from genrun.run import run
from genrun.runs.identity import identity, images_key
from genrun.types import Batch


def every_form(image: np.ndarray, shift: int) -> dict[bytes, tuple[int, int, bool]]:
    """All mirrored and shifted forms of an image (C, H, W), made by numpy's own reflection and slices."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (shift, shift), (shift, shift)), mode="reflect")
    forms = {}
    for down in range(2 * shift + 1):
        for right in range(2 * shift + 1):
            moved = padded[:, down : down + height, right : right + width]
            forms[moved.tobytes()] = (shift - down, shift - right, False)
            forms[moved[:, :, ::-1].tobytes()] = (shift - down, shift - right, True)
    return forms


def test_each_image_gets_one_of_its_forms_and_all_are_as_likely():
    image = np.random.default_rng(0).random((3, 5, 7), np.float32)
    forms = every_form(image, 2)
    assert len(forms) == 2 * 5 * 5
    torch.manual_seed(0)
    n = 20_000
    drawn = Augmentation(flip=True, shift=2)(torch.from_numpy(image).expand(n, 3, 5, 7))
    counts = dict.fromkeys(forms, 0)
    for one in drawn.numpy():
        counts[one.tobytes()] += 1  # a KeyError: it is no form of the image
    expected = n / len(forms)
    # χ² with 49 degrees of freedom is above 95 with a probability of 1e-4
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 95


def test_it_flips_or_shifts_alone():
    image = torch.arange(12.0).view(1, 1, 3, 4).expand(40, 1, 3, 4)
    torch.manual_seed(0)
    mirrored = (Augmentation(flip=True)(image) == image.flip(3)).flatten(1).all(1)
    same = (Augmentation(flip=True)(image) == image).flatten(1).all(1)
    assert 0 < mirrored.sum() < 40 and 0 < same.sum() < 40
    forms = {one.numpy().tobytes() for one in Augmentation(shift=1)(image)}
    assert forms <= {form for form, (_, _, flipped) in every_form(image[0].numpy(), 1).items() if not flipped}
    before = torch.get_rng_state()
    assert Augmentation()(image) is image and torch.equal(torch.get_rng_state(), before)


def test_processes_that_share_a_batch_change_its_images_as_one_does():
    images, change = torch.rand(7, 1, 4, 4), Augmentation(flip=True, shift=1)
    torch.manual_seed(3)
    whole = change(images)
    for rank in (0, 1):
        share = Share.of(7, rank, 2)
        torch.manual_seed(3)
        with sharing(share):
            assert torch.equal(change(images[share.rows]), whole[share.rows])


def test_only_training_batches_are_changed():
    data = ImageData(sources.digits, 100, validation=137, augment=Augmentation(shift=2))
    assert data.summary().endswith("training images shifted by at most 2 pixels")

    class Trainer:
        training = True

    data.trainer = Trainer()
    batch = Batch(data.train.images(torch.arange(5)), data.train.labels[:5], torch.arange(5))
    changed = data.on_after_batch_transfer(batch, 0)
    assert not torch.equal(changed.image, batch.image) and changed[1:] == batch[1:]
    data.trainer.training = False
    assert data.on_after_batch_transfer(batch, 0) is batch


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["data.augment.shift=8"], "data.augment.shift: expected pixels from 0 to 7, .* images of 8×8, got 8"),
        (["data.augment.shift=1.5"], "data.augment.shift: expected an integer, got 1.5"),
        (["data=swiss_roll", "data.augment.flip=true"], "data.augment.flip=true: images of one column"),
        (["data.augment.flip=true"], "data.augment: CSGM keeps one code for each training image"),
        (["model=nota", "data.augment.shift=1"], "data.augment: MonotoneNOTA fits each step"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(options, line, tmp_path):
    words = ["model=csgm", "data=digits", "evaluation=none", f"paths.outputs={tmp_path}", *options]
    with pytest.raises(Refused, match=line) as caught:
        run(compose(words), words, Console(quiet=True))
    assert "\n" not in str(caught.value) and not [*tmp_path.iterdir()]


def test_it_decides_the_result_and_not_what_the_judge_sees():
    def described(*words: str):
        cfg = compose([*TINY, *words])
        cfg.data.facts = dict.fromkeys(cfg.data.facts, 0)
        return cfg

    plain, changed = described(), described("data.augment.flip=true")
    assert identity(plain) == identity(described("~data.augment")) != identity(changed)
    assert images_key(plain) == images_key(described("~data.augment")) == images_key(changed)


def test_a_run_that_is_ended_amid_an_epoch_equals_an_undisturbed_one(tmp_path, monkeypatch):
    def finish(outputs: str):
        words = ["model=vae", "model/encoder=mlp", "model/decoder=mlp", "model.prior.components=1", "data=digits", "data.limit=90",
                 "data.batch_size=10", "data.passes=1", "data.augment.flip=true", "data.augment.shift=1", "trainer.max_epochs=2",
                 "sample.n=9", "evaluation=none", "run.figures=false", "~callbacks.watching.samples", "~callbacks.watching.codes",
                 "+callbacks.watching.stop._target_=helpers.callbacks.Disturbance", f"paths.outputs={tmp_path / outputs}"]  # fmt: skip
        return run(compose(words), words, Console(quiet=True))

    monkeypatch.setattr(Disturbance, "stops", [])
    undisturbed = finish("undisturbed")
    monkeypatch.setattr(Disturbance, "stops", [(0, 4, "ends")])
    with pytest.raises(Interrupted):
        finish("disturbed")
    assert outcome(finish("disturbed")) == outcome(undisturbed)
