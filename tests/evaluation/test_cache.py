"""What the judge keeps of the real images, and does without."""

from __future__ import annotations

import pytest
import torch
from helpers.judge import make_judge, some_samples
from rich.console import Console

from genrun.config.compose import compose
from genrun.data.module import ImageData
from genrun.parts import build_judge


def test_a_second_evaluation_does_not_touch_the_training_images(shapes, monkeypatch):
    images, labels = (torch.from_numpy(array) for array in some_samples(shapes, 300).values())
    first = make_judge(shapes).judge(images[:, None], labels)
    seen = []
    for split in ("train", "validation"):
        monkeypatch.setattr(ImageData, split, property(lambda self, split=split: seen.append(split)))
    assert make_judge(shapes).judge(images[:, None], labels) == first
    assert seen == []
    # and where no classifier is tested on test images, nothing at all
    monkeypatch.setattr(ImageData, "prepare", lambda self: seen.append("anything"))
    assert len(make_judge(shapes, "evaluation.train_on_generated=0").judge(images[:, None], labels)) == len(first) - 2
    assert seen == []


def test_the_same_files_read_in_another_way_are_other_images(shapes):
    keys = {
        build_judge(cfg, None, Console(quiet=True)).real.folder
        for crop in (140, 100)
        for size in (100, 50)
        for cfg in [compose(["data=celeba", f"data.source.crop={crop}", f"data.batch_size={size}"])]
        if not cfg.data.update({"facts": FACTS})
    }
    assert len(keys) == 2  # the crop decides, the batch size does not


FACTS = {"image_shape": [3, 64, 64], "num_classes": 0, "class_names": [], "train_size": 9, "checksum": "c"}


@pytest.mark.parametrize("left", [0, 0.5])
def test_cut_short_files_of_the_cache_are_made_again(shapes, tmp_path, left):
    images, labels = (torch.from_numpy(array) for array in some_samples(shapes, 300).values())
    fast = (
        "evaluation.train_on_generated=0",
        f"paths.cache={tmp_path}",
        "evaluation.classifier.steps=10",
        "evaluation.observer.steps=20",
    )
    first = make_judge(shapes, *fast).judge(images[:, None], labels)
    files = sorted(tmp_path.rglob("*.safetensors"))
    assert len(files) >= 9
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[: int(left * len(content))])
    assert make_judge(shapes, *fast).judge(images[:, None], labels) == first
    assert not list(tmp_path.rglob(".*.tmp")) and all(file.stat().st_size > 8 for file in files)


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(shapes, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    judge = make_judge(
        shapes,
        f"paths.cache={tmp_path / 'file'}",
        "evaluation=quick",
        "evaluation.classifier.steps=10",
        "evaluation.observer.steps=20",
    )
    assert judge.judge(torch.from_numpy(some_samples(shapes, 300)["images"])[:, None])
