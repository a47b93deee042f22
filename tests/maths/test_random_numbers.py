"""Random tensors against what their probabilities say."""

from __future__ import annotations

import pytest
import torch

from genrun.maths.random_numbers import bernoulli, normal_like


@pytest.mark.parametrize("explicit", [True, False], ids=["generator", "global stream"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_units_are_on_as_often_as_their_probabilities_say(explicit, dtype):
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0) if explicit else None
    n = 400_001  # no multiple of the four numbers that 64 bits make
    for p in (0.001, 0.3, 0.5, 0.97):
        drawn = bernoulli(torch.full((n,), p, dtype=dtype), generator)
        assert drawn.dtype == dtype and set(drawn.unique().tolist()) == {0, 1}
        assert drawn.mean().item() == pytest.approx(p, abs=5 * (p * (1 - p) / n) ** 0.5)
    assert not bernoulli(torch.zeros(n, dtype=dtype), generator).any()
    assert bernoulli(torch.ones(n, dtype=dtype), generator).all()


def test_neighbours_in_the_global_stream_are_independent():
    """Four numbers come from one of 64 bits, the highest of which has a sign."""
    torch.manual_seed(0)
    drawn = bernoulli(torch.full((200_000, 4), 0.5)) - 0.5
    correlation = (drawn.T @ drawn) / len(drawn) * 4
    torch.testing.assert_close(correlation, torch.eye(4), rtol=0, atol=5 / len(drawn) ** 0.5)
    assert drawn.mean(0).abs().max() < 2.5 / len(drawn) ** 0.5


def test_an_explicit_generator_leaves_the_global_stream_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for draw in (bernoulli, normal_like):
        one, two = (draw(torch.full((3, 5), 0.5), torch.Generator().manual_seed(7)) for _ in range(2))
        assert torch.equal(one, two) and one.shape == (3, 5)
    assert torch.equal(torch.get_rng_state(), before)
