"""The training that priors of codes share: its learning rate, its calls, and what it says of NaN."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from genrun.maths.learning_rates import rate_share, warm_up
from genrun.nn.code_flow import CodeFlow
from genrun.nn.prior_training import train
from genrun.nn.vae_prior import VAEPrior


@torch.no_grad()
def test_each_step_goes_down_the_gradient_with_the_rate_of_its_time():
    weight, moved, told = nn.Parameter(torch.zeros((), dtype=torch.float64)), [0.0], []

    def progress(parts, number):
        told.append(number)
        return parts

    train(
        torch.optim.SGD([weight], lr=0.5),
        lambda: -3 * weight,
        passes=2,
        steps=5,
        after_step=lambda step: moved.append((step, weight.item())),
        progress=progress,
    )
    steps, places = zip(*moved[1:], strict=True)
    rates = torch.tensor([0.0, *places], dtype=torch.float64).diff() / 3
    shares = [0.5 * rate_share("cosine", k / 10) * warm_up(k / 10) for k in range(10)]
    assert told == [2] and steps == tuple(range(10))
    torch.testing.assert_close(rates, torch.tensor(shares, dtype=torch.float64))


def of_flow(lr: float) -> CodeFlow:
    return CodeFlow(1, 2, components=1, width=4, blocks=1, passes=2, lr=lr)


def of_vae(lr: float) -> VAEPrior:
    return VAEPrior(1, 2, width=4, depth=1, epochs=2, lr=lr)


@pytest.mark.parametrize("prior", [of_flow, of_vae])
def test_training_that_diverges_is_refused(prior):
    codes: Tensor = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"the prior's training diverged: lower model\.prior\.lr \(1e\+30\)"):
        prior(1e30).fit(codes, torch.zeros(600, dtype=torch.long))
