"""Flaws that a single image shows are counted."""

from __future__ import annotations

import pytest
import torch
from helpers.judge import make_judge

from genrun.evaluation.ladders import blur, even_fog
from genrun.evaluation.rows.flaws import flaw_rows
from genrun.inference import seeded


def test_flaws_of_samples_are_counted(shapes):
    judge = make_judge(shapes)
    images = judge.real.images("validation").decoded().array / 255

    def shares(changed: torch.Tensor) -> list[float]:
        return [row.value for row in flaw_rows(judge.real, changed.clamp(0, 1).mul(255).round().to(torch.uint8))]

    floors = [row.floor for row in flaw_rows(judge.real, (images * 255).to(torch.uint8))]
    assert max(floors) < 0.02 and max(shares(images)) < 0.02
    grey, _ = shares(torch.cat([images[:350], even_fog(images[350:], 0.2, seeded(0))]))
    assert grey == pytest.approx(0.5, abs=0.02)
    assert shares(blur(images, 1.5, seeded(0)))[-1] > 0.6
