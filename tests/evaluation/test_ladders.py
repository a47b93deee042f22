"""Ladders of spoilt images: each step spoils more than the one before, and nothing else than its kind of damage."""

from __future__ import annotations

import itertools

import pytest
import torch

from genrun.evaluation.ladders import BARELY, IMAGE, INVISIBLE, LABELS, PLAIN, VARIETY, Batch, ladders
from genrun.inference import seeded


def disks(n: int, side: int, channels: int = 1) -> Batch:
    """Images of bright disks of random size and place on black, and their labels 0, 1, 2, …"""
    generator = seeded(1)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    centres = (0.35 + 0.3 * torch.rand(n, 2, generator=generator)) * side
    radii = (0.15 + 0.15 * torch.rand(n, generator=generator)) * side
    away = ((y - centres[:, :1, None]).square() + (x - centres[:, 1:, None]).square()).sqrt()
    images = ((radii[:, None, None] - away + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    return Batch(images[:, None].expand(-1, channels, -1, -1).contiguous(), torch.arange(n) % 4)


def photographs(n: int) -> Batch:
    images = torch.rand(n, 3, 8, 8, generator=seeded(2))
    smooth = torch.nn.functional.interpolate(images, size=(32, 32), mode="bilinear")
    return Batch((smooth * 255).to(torch.uint8), torch.arange(n) % 4)


@pytest.mark.parametrize("batch", [disks(60, 28), disks(60, 8), photographs(60)], ids=["28", "8", "photographs"])
def test_each_step_changes_the_images_more_and_is_marked_from_invisible_to_plain(batch):
    for ladder in ladders(batch.images, 4):
        marks = [(INVISIBLE, BARELY, PLAIN).index(step.mark) for step in ladder.steps]
        amounts = [step.amount for step in ladder.steps]
        assert marks == sorted(marks) and amounts == sorted(amounts), ladder.name
        if ladder.spoils != IMAGE:
            continue
        changed = []
        for step in ladder.steps:
            made = step.spoil(batch, seeded(0))
            assert made.images.shape == batch.images.shape and made.images.dtype == torch.uint8
            assert torch.equal(made.labels, batch.labels)
            changed.append((made.images.float() - batch.images.float()).square().mean().item())
        assert all(one <= other for one, other in itertools.pairwise(changed)), (ladder.name, changed)
        assert changed[-1] > 0


def test_what_is_marked_invisible_changes_hardly_a_pixel_by_more_than_the_eye_sees():
    for batch, most in ((photographs(60), 0.5), (disks(60, 28), 0.9)):  # JPEG changes the colours of random noise
        for ladder in ladders(batch.images, 4):
            for step in ladder.steps:
                if step.mark == INVISIBLE and ladder.spoils == IMAGE:
                    changed = (step.spoil(batch, seeded(0)).images.float() - batch.images.float()).abs()
                    assert changed.quantile(most) <= 5, (ladder.name, step.amount)


def test_equal_generators_give_equal_images_and_the_global_stream_is_left_alone():
    batch, state = disks(20, 28), torch.get_rng_state()
    for ladder in ladders(batch.images, 4):
        for step in ladder.steps:
            assert all(map(torch.equal, step.spoil(batch, seeded(3)), step.spoil(batch, seeded(3))))
    assert torch.equal(torch.get_rng_state(), state)


def test_ladders_of_variety_and_labels_keep_real_images():
    batch = disks(80, 8)
    by_name = {ladder.name: ladder for ladder in ladders(batch.images, 4)}
    real = {image.numpy().tobytes() for image in batch.images}
    for ladder in by_name.values():
        for step in ladder.steps if ladder.spoils in (VARIETY, LABELS) else []:
            made = step.spoil(batch, seeded(0))
            assert {image.numpy().tobytes() for image in made.images} <= real
    two = by_name["missing classes"].steps[1].spoil(batch, seeded(0))
    assert set(two.labels.tolist()) == {0, 1}
    few = by_name["copies"].steps[1].spoil(batch, seeded(0))
    assert len(few.images) == 80 and len({image.numpy().tobytes() for image in few.images}) == 4
    half = by_name["half the variety"].steps[0].spoil(batch, seeded(0))
    assert half.labels.bincount().tolist() == [10] * 4
    wrong = by_name["wrong labels"].steps[1].spoil(batch, seeded(0))
    assert torch.equal(wrong.images, batch.images) and 0.2 < (wrong.labels != batch.labels).float().mean() <= 0.5


def test_without_classes_or_a_dark_background_there_are_fewer_ladders():
    named = {ladder.name for ladder in ladders(disks(10, 28).images, 0)}
    assert not named & {"wrong labels", "missing classes"} and {"fog, floor", "thicker strokes"} <= named
    assert not {ladder.name for ladder in ladders(photographs(10).images, 4)} & {"fog, floor", "thicker strokes"}
