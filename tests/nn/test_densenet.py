"""DenseNet has the layers and the size that its paper gives."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genrun.nn.densenet import DenseNet


def test_densenet_100_has_the_papers_size():
    densenet = DenseNet((3, 32, 32))
    weighted = [module for module in densenet.modules() if isinstance(module, nn.Conv2d)]
    assert len(weighted) == 100 - 1  # and the classifier's linear layer
    linear = nn.Linear(densenet.num_features, 10)
    total = sum(parameter.numel() for part in (densenet, linear) for parameter in part.parameters())
    assert total == pytest.approx(0.8e6, rel=0.05)  # table 2: k = 12, L = 100
    assert total == 769_162  # what the authors' own network has


@pytest.mark.parametrize(("depth", "growth", "total"), [(250, 24, 15.3e6), (190, 40, 25.6e6)])
def test_the_larger_networks_have_the_papers_size_too(depth, growth, total):
    with torch.device("meta"):
        densenet = DenseNet((3, 32, 32), depth=depth, growth=growth)
        linear = nn.Linear(densenet.num_features, 10)
    found = sum(parameter.numel() for part in (densenet, linear) for parameter in part.parameters())
    assert found == pytest.approx(total, rel=0.01)


@pytest.mark.parametrize("image_shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 9, 4)])
def test_a_code_has_342_numbers_none_negative(image_shape):
    densenet = DenseNet(image_shape, outputs=342).eval()
    codes = densenet(torch.rand(2, *image_shape))
    assert codes.shape == (2, 342) and densenet.code_shape == (342, 1, 1) and codes.min() >= 0


def test_each_layer_keeps_what_came_before_and_gradients_reach_all():
    densenet = DenseNet((3, 12, 12), depth=22, growth=4)
    assert densenet.num_features == ((8 + 12) // 2 + 12) // 2 + 12
    x = torch.randn(5, 8, 12, 12).contiguous(memory_format=torch.channels_last)
    after = densenet.stages[1](x)
    assert after.shape == (5, 12, 12, 12) and torch.equal(after[:, :8], x)
    assert after.is_contiguous(memory_format=torch.channels_last)
    densenet(torch.rand(5, 3, 12, 12)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in densenet.parameters())


@pytest.mark.parametrize("depth", [4, 99, 0, -2])
def test_a_depth_that_no_densenet_has_is_refused(depth):
    with pytest.raises(ValueError, match=rf"6n \+ 4.*got {depth}$"):
        DenseNet((3, 32, 32), depth=depth)


def test_other_options_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"has 342 numbers, got code_size 512$"):
        DenseNet((3, 32, 32), outputs=512)
    with pytest.raises(ValueError, match=r"at least 1, got 0$"):
        DenseNet((3, 32, 32), growth=0)
    with pytest.raises(ValueError, match=r"4×4 pixels or more, got \(1, 3, 8\)$"):
        DenseNet((1, 3, 8))
