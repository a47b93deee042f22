"""The embedding of time."""

from __future__ import annotations

import numpy as np
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch.optim.swa_utils import AveragedModel

from genrun.nn.embedding import Sinusoids


def test_sinusoids_are_16():
    found = Sinusoids(10)(torch.tensor([0.0, 3.0, 250.0]))
    omega = 10000 ** (-np.arange(5) / 5)
    t = np.array([[0.0], [3.0], [250.0]])
    np.testing.assert_allclose(found, np.concatenate([np.sin(t * omega), np.cos(t * omega)], 1), atol=2e-5)


def test_averaging_leaves_the_sinusoids_as_they_are():
    """They are not learned: averaged weights must see the same times, and a checkpoint that goes on must, too."""
    network = Sinusoids(64)
    average = AveragedModel(network, avg_fn=EMAWeightAveraging(decay=0.999)._kwargs["avg_fn"], use_buffers=True)
    for _ in range(100):
        average.update_parameters(network)
    at = torch.tensor([1.0, 500.0, 1000.0])
    assert torch.equal(average(at), network(at))
