"""The closest candidates against a search that measures every pair by itself."""

from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from genrun.evaluation.closest import SquaredError, StructuralDissimilarity, closest
from genrun.maths.ssim import structural_similarity


def images(n: int, *shape: int, seed: int = 0) -> torch.Tensor:
    """Smooth images, so that some are alike."""
    coarse = torch.rand(n, shape[0], 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear")


def similarity(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """torchmetrics' similarity of an image to others, over the windows inside the images."""
    _, every = structural_similarity_index_measure(
        x.expand(len(y), -1, -1, -1), y, data_range=1.0, gaussian_kernel=True, reduction="none", return_full_image=True
    )
    return every[..., 5:-5, 5:-5].flatten(1).mean(1)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 24)])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_search_finds_what_measuring_every_pair_finds(shape, threads):
    x, y = images(7, *shape), images(300, *shape, seed=1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = StructuralDissimilarity(x)
        by_error, by_similarity = closest([SquaredError(x), found], y.split(90), 3)
        distances = found(y)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    expected = torch.stack([similarity(one, y) for one in x])
    torch.testing.assert_close(1 - distances, expected, atol=2e-5, rtol=0)
    assert torch.equal(by_similarity, expected.topk(3).indices)
    assert torch.equal(by_error, (x[:, None] - y).square().flatten(2).sum(2).topk(3, largest=False).indices)


def test_the_similarities_are_those_of_the_pairs_by_themselves():
    """Some windows are dark and flat, as in MNIST; the queries fill no whole number of tiles."""
    x, y = (images(n, 3, 33, 30, seed=n).sub(0.5).clamp(0, 1) for n in (5, 140))
    expected = torch.stack([structural_similarity(one.expand_as(y), y) for one in x])
    torch.testing.assert_close(1 - StructuralDissimilarity(x)(y), expected, atol=1e-5, rtol=0)


def test_small_images_have_a_smaller_window_and_a_copy_is_the_closest():
    y = images(50, 1, 8, 8)
    assert closest([StructuralDissimilarity(y[[9, 4]])], [y], 1)[0].tolist() == [[9], [4]]


def test_an_image_is_not_its_own_match_but_a_second_copy_is():
    y = images(12, 1, 12, 12)
    every = torch.cat([y, y[3:4]])
    own = torch.tensor([3, 5])
    for index in closest([SquaredError(every[own]), StructuralDissimilarity(every[own])], every.split(5), 4, own=own):
        assert index.shape == (2, 4) and index[0, 0] == 12 and 5 not in index[1] and 3 not in index[0]


def test_fewer_candidates_give_fewer_matches():
    y = images(3, 1, 12, 12)
    assert closest([SquaredError(y)], y.split(2), 5)[0].shape == (3, 3)
    assert closest([SquaredError(y)], y.split(2), 5, own=torch.arange(3))[0].shape == (3, 2)
