"""ResNet has the layers and the size that its paper gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genrun.nn.resnet import ResNet


def test_resnet_56_has_56_layers_and_the_papers_size():
    resnet = ResNet((3, 32, 32), 10)
    weighted = [
        name
        for name, module in resnet.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]
    assert len(weighted) == 56
    # table 6 says 0.85 M, with shortcuts that have no weights; here two have, 16·32 and 32·64 of them
    plain = sum(parameter.numel() for name, parameter in resnet.named_parameters() if "shortcut" not in name)
    assert sum(parameter.numel() for parameter in resnet.parameters()) - plain == 16 * 32 + 32 * 64
    assert plain == pytest.approx(0.85e6, abs=0.005e6)


def test_resnet_halves_the_image_twice():
    assert ResNet((1, 28, 28), 10, depth=8).eval().stages(torch.zeros(1, 16, 28, 28)).shape == (1, 64, 7, 7)


@pytest.mark.parametrize("depth", [55, 2, 57])
def test_a_depth_that_no_resnet_has_is_refused(depth):
    with pytest.raises(ValueError, match=rf"6n \+ 2.*got {depth}$"):
        ResNet((3, 32, 32), 10, depth=depth)
