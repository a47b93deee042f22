"""Flaws that a single image shows are counted."""

from __future__ import annotations

import pytest
import torch
from helpers.judge import make_judge

from genrun.evaluation.ladders import blur, even_fog, floor_fog, soft_fog
from genrun.evaluation.rows.flaws import background, flaw_rows
from genrun.inference import seeded


def test_flaws_of_samples_are_counted(shapes):
    judge = make_judge(shapes)
    images = judge.real.images("validation").decoded().array / 255

    def shares(changed: torch.Tensor) -> list[float]:
        return [row.value for row in flaw_rows(judge.real, changed.clamp(0, 1).mul(255).round().to(torch.uint8))]

    floors = [row.floor for row in flaw_rows(judge.real, (images * 255).to(torch.uint8))]
    assert max(floors) < 0.02 and max(shares(images)) < 0.02
    half = torch.cat([images[:350], even_fog(images[350:], 0.2, seeded(0))])
    row, _ = flaw_rows(judge.real, half.clamp(0, 1).mul(255).round().to(torch.uint8))
    assert row.value == pytest.approx(0.5, abs=0.02)
    assert row.detail[0] == pytest.approx(0.2 * 255, abs=2)  # of those that are grey
    assert row.note.startswith(f"of {row.count} samples that have a background; these on average ")
    assert shares(soft_fog(images, 0.1, seeded(0)))[0] > 0.9  # seen barely
    black = images * (images > 0.1)
    for unseen in (even_fog(black, 0.0157, seeded(0)), floor_fog(black, 0.0157, seeded(0))):
        assert shares(unseen)[0] == 0
    assert shares(blur(images, 1.5, seeded(0)))[-1] > 0.6


def test_the_background_is_what_lies_away_from_light_pixels():
    image = torch.full((1, 1, 12, 12), 3, dtype=torch.uint8)
    image[0, 0, 3, 3] = 200  # near it are 5×5 pixels
    image[0, 0, 10, 5:9] = 9  # a trace of grey
    share, level = background(image)
    assert share.item() == pytest.approx(4 / (144 - 25)) and level.item() == pytest.approx((115 * 3 + 4 * 9) / 119)
    stroke = torch.zeros(1, 1, 16, 16)
    stroke[..., 7:9] = 1
    blurred = blur(stroke, 0.8, seeded(0)).mul(255).round().to(torch.uint8)
    assert (blurred[0, 0, 0] > 4).sum() > 4 and background(blurred)[0].item() == 0  # a soft edge is no fog
    thick = image.clamp(min=100)
    assert background(thick)[0].item() == 1 and background(thick)[1].item() == 100
    stripes = torch.zeros(2, 1, 12, 12, dtype=torch.uint8)
    stripes[..., ::3] = 255
    assert background(stripes)[0].isnan().all() and background(stripes)[1].isnan().all()


def test_samples_without_a_background_have_no_share(shapes):
    judge = make_judge(shapes)
    stripes = torch.zeros(20, 1, 8, 8, dtype=torch.uint8)
    stripes[..., ::3] = 255
    row = flaw_rows(judge.real, stripes)[0]
    assert row.value is None and row.count == 0 and row.note == "no sample has a background"
