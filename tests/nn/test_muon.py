"""Muon's steps."""

from __future__ import annotations

import torch

from genrun.nn.muon import Muon
from genrun.nn.unet import UNet


def test_muon_moves_kernels_by_orthogonal_matrices_and_the_rest_by_adam():
    torch.manual_seed(0)
    network = UNet((1, 8, 8), 3, widths=(8, 16), heads=2, embedding=16)
    names = {id(weight): name for name, weight in network.named_parameters()}
    optimizer = Muon(network.parameters(), lr=0.5, adam_lr=0.01, adam_betas=(0.9, 0.99))
    kernels, rest = optimizer.param_groups
    of_kernels = {names[id(weight)] for weight in kernels["params"]}
    assert {"before.conv1.weight", "attention.qkv.weight", "grow.0.weight", "down.0.0.conv2.weight"} <= of_kernels
    assert not of_kernels & {"stem.weight", "out.weight", "label.weight", "time.1.weight"}
    assert len(of_kernels) + len(rest["params"]) == len(names)
    for weight in network.parameters():
        weight.grad = torch.randn_like(weight)
    before = [weight.detach().clone() for weight in network.parameters()]
    optimizer.step()
    for old, weight in zip(before, network.parameters(), strict=True):
        step = (weight - old).detach()
        if names[id(weight)] in of_kernels:
            matrix = step.flatten(1)
            scale = 0.5 * max(1, matrix.shape[0] / matrix.shape[1]) ** 0.5
            singular = torch.linalg.svdvals(matrix / scale)
            assert singular.min() > 0.6 and singular.max() < 1.3, names[
                id(weight)
            ]  # five iterations come that near to 1
        else:
            torch.testing.assert_close(step.abs(), torch.full_like(step, 0.01), rtol=0.01, atol=1e-5)  # Adam's first
