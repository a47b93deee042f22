"""The shares that several processes take of a batch and of its draws."""

from __future__ import annotations

import pytest
import torch

from genrun.maths.random_numbers import bernoulli, normal_like, uniform_each
from genrun.maths.sharding import Share, sharing


@pytest.mark.parametrize("whole", [1, 2, 3, 7, 100])
def test_shares_are_all_of_a_batch_once(whole):
    shares = [Share.of(whole, rank, 3) for rank in range(3)]
    assert sum(share.weight for share in shares) == pytest.approx(1)
    counted = [row for share in shares if share.counted for row in range(share.start, share.stop)]
    assert counted == list(range(whole))
    assert all(0 <= share.start < share.stop <= whole for share in shares)  # a row for each, if need be lent


@pytest.mark.parametrize("draw", [normal_like, uniform_each, bernoulli])
def test_shares_of_draws_are_those_of_the_whole_batch(draw):
    probabilities = torch.full((7, 3), 0.5)
    torch.manual_seed(3)
    whole, after = draw(probabilities), torch.get_rng_state()
    parts = []
    for rank in range(2):
        share = Share.of(7, rank, 2)
        torch.manual_seed(3)
        with sharing(share):
            parts.append(draw(probabilities[share.rows]))
        assert torch.equal(torch.get_rng_state(), after)
    assert torch.equal(torch.cat(parts), whole)
    with (
        sharing(Share.of(7, 0, 2)),
        pytest.raises(ValueError, match="expected a tensor with a row for each of the 3 images"),
    ):
        draw(probabilities)
