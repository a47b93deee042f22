"""Bands, tables of pairs and matches show the images they got, in their places, and frames in their colours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrun.figures.bands import BLUE, ORANGE, Band, bands, matrix
from genrun.figures.matches import matches


def has_colour(sheet, colour) -> bool:
    return bool((np.asarray(sheet.convert("RGB")) == colour).all(-1).any())


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 128, 128)])
def test_a_frame_has_its_colour_and_bands_without_one_have_none(shape):
    images = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0)) / 4
    framed = bands([[Band("one", images, BLUE), Band("two", images)], [Band("three", images)]], list("abcd"))
    bare = bands([[Band("one", images), Band("two", images)], [Band("three", images)]])
    assert has_colour(framed, BLUE) and not has_colour(bare, BLUE) and framed.width == bare.width


def test_a_band_shows_its_images():
    images = torch.zeros(2, 3, 8, 8)
    images[0, 0], images[1, 1] = 1, 1  # red, green
    sheet = np.asarray(bands([[Band("", images)]]))
    red, green = ((sheet == colour).all(-1) for colour in ((255, 0, 0), (0, 255, 0)))
    assert red.sum() == green.sum() > 64 and np.nonzero(red)[1].max() < np.nonzero(green)[1].min()


def test_a_matrix_has_a_cell_for_each_pair():
    above, left = torch.zeros(3, 1, 8, 8), torch.zeros(2, 1, 8, 8)
    cells = torch.zeros(6, 1, 8, 8)
    cells[5] = 1  # the last
    sheet = matrix(above, left, cells)
    white = (np.asarray(sheet) == 255).all(-1)
    assert has_colour(sheet, ORANGE) and white[-20, -20] and not white[-20, sheet.width // 2]
    with pytest.raises(ValueError, match="2·3 cells"):
        matrix(above, left, cells[:5])


def test_bands_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        bands([[Band("a", torch.zeros(2, 1, 8, 8)), Band("b", torch.zeros(3, 1, 8, 8))]])
    with pytest.raises(ValueError, match="name per column"):
        bands([[Band("a", torch.zeros(2, 1, 8, 8))]], ["x"])
    with pytest.raises(ValueError, match="one shape"):
        bands([])


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 64, 64)])
def test_matches_stand_beside_their_image(shape):
    images = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    sheet = matches(images, "sample", {"one": images[:, None].expand(-1, 3, -1, -1, -1), "two": images[:, None]})
    assert sheet.width > 5 * shape[2] and sheet.height > 4 * shape[1]
