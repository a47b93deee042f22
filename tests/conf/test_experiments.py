"""The presets: each builds its method on the data that it is for, and mirrors only what may be mirrored."""

from __future__ import annotations

import pytest

from genrun.config.compose import compose
from genrun.parts import build_method

SHAPES = {"cifar10": (3, 32, 32), "fashion_mnist": (1, 28, 28), "folder64": (3, 64, 64)}


@pytest.mark.parametrize("data", SHAPES)
def test_presets_of_a_data_set_build_and_mirror_only_colour(data):
    for model in ("flow", "ddpm", "gan"):
        cfg = compose([f"experiment={model}_{data}"])
        cfg.data.facts.image_shape, cfg.data.facts.num_classes = SHAPES[data], 10
        method = build_method(cfg)
        assert method.image_shape == SHAPES[data] and str(cfg.model.name).startswith(model)
        assert cfg.data.augment.flip == (SHAPES[data][0] == 3) and not cfg.data.augment.shift
        if model != "gan":  # ours have a quarter of the resolution, or less, at the attention
            shortest = min(SHAPES[data][1:]) // (method.network.patch * 2 ** len(method.network.shrink))
            assert shortest in (7, 8) and cfg.callbacks.training.ema.decay == 0.995
