"""Gates."""

from __future__ import annotations

import torch
from helpers.networks import as_if_trained, normal

from genrun.nn.gated_unet import Gated


def test_a_gate_shares_out_each_row():
    block = as_if_trained(Gated(3, 5)).eval()
    x = normal(2, 3, 4, 6)
    h = block.body(x) + block.shortcut(x)
    scores = torch.einsum("oc,nchw->nohw", block.gate.weight[:, :, 0, 0], h) + block.gate.bias.view(1, -1, 1, 1)
    shares = scores.exp() / scores.exp().sum(3, keepdim=True)
    torch.testing.assert_close(block(x), h * shares)
