"""A run that stops anywhere and goes on sees the batches that an undisturbed one sees."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from genrun.data import arrays
from genrun.data.module import ImageData

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
