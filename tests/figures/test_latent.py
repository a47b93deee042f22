"""The plane and the lines are those of the codes, by an independent decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.decomposition import PCA

from genrun.figures.grid import LINE, to_uint8
from genrun.figures.latent import interpolation, latent_plane


def drawn(codes: torch.Tensor) -> torch.Tensor:
    """(n, D) → images (n, 1, 4, 4) whose pixels tell the first two numbers."""
    images = torch.zeros(len(codes), 1, 4, 4)
    images[:, 0, :2] = codes[:, 0, None, None].sigmoid()
    images[:, 0, 2:] = codes[:, -1, None, None].sigmoid()
    return images


def cloud(dimensions: int, n: int = 60) -> torch.Tensor:
    scale = torch.tensor([1.0, 6, 2, 0.5, 3])[:dimensions]
    return torch.randn(n, dimensions, generator=torch.Generator().manual_seed(0)) * scale + 4


# ------------------------------------------------------------------------------------------------------------ the plane


@pytest.mark.parametrize("dimensions", [2, 5])
def test_the_plane_is_that_of_an_independent_decomposition(dimensions):
    codes, asked = cloud(dimensions), []
    latent_plane(codes, lambda points: asked.append(points) or drawn(points), columns=7)
    (points,) = asked
    assert points.shape == (49, dimensions) and points.dtype == codes.dtype
    pca = PCA(dimensions, svd_solver="full").fit(codes.double().numpy())
    along = pca.transform(points.double().numpy()).reshape(7, 7, dimensions)
    quantiles = norm.ppf(np.linspace(0.03, 0.97, 7)) * np.sqrt(pca.explained_variance_[:2])[:, None]
    assert np.allclose(np.abs(along[..., 0]), np.abs(quantiles[0]), atol=1e-5)  # a component's sign is free
    assert np.allclose(np.abs(along[..., 1]), np.abs(quantiles[1])[:, None], atol=1e-5)
    assert np.allclose(along[..., 2:], 0, atol=1e-5)
    assert np.allclose(points[24], codes.mean(0), atol=1e-5)  # the middle
    grid = points.reshape(7, 7, dimensions)
    right, up = (grid[0, 6] - grid[0, 0]).numpy(), (grid[0, 0] - grid[6, 0]).numpy()
    for direction in (right, up):
        assert direction[np.abs(direction).argmax()] > 0


def test_a_plane_shows_what_was_decoded_over_its_caption():
    codes = cloud(5)
    kept = []
    sheet = np.asarray(latent_plane(codes, lambda points: kept.append(drawn(points)) or kept[0], columns=3))
    ys, xs = np.nonzero(sheet == LINE)
    grid = sheet[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]  # its border is of this grey
    scale = (grid.shape[1] - 4) // 12
    for k in range(9):
        y, x = 1 + k // 3 * (4 * scale + 1), 1 + k % 3 * (4 * scale + 1)
        cell = grid[y : y + 4 * scale : scale, x : x + 4 * scale : scale]
        assert np.array_equal(cell, to_uint8(kept[0][k : k + 1])[0, ..., 0])
    assert (sheet[ys.max() + 2 :] < 128).any()
    assert np.array_equal(sheet, np.asarray(latent_plane(codes.clone(), drawn, columns=3)))


def test_codes_of_one_dimension_make_a_row_and_equal_codes_one_image():
    counts = []
    latent_plane(cloud(1), lambda points: counts.append(len(points)) or drawn(points))
    points = []
    latent_plane(torch.full((5, 3), 2.0), lambda p: points.append(p) or drawn(p), columns=4)
    assert counts == [15] and torch.allclose(points[0], torch.full((16, 3), 2.0))


@pytest.mark.parametrize(
    ("codes", "columns", "message"),
    [
        (torch.zeros(5), 3, r"got shape \(5,\)"),
        (torch.zeros(1, 2), 3, "N ≥ 2"),
        (torch.zeros(5, 0), 3, "D ≥ 1"),
        (torch.full((5, 2), torch.nan), 3, "finite"),
        (torch.zeros(5, 2), 1, "columns ≥ 2"),
    ],
)
def test_a_plane_refuses_codes_that_span_none(codes, columns, message):
    with pytest.raises(ValueError, match=message):
        latent_plane(codes, drawn, columns=columns)


def test_a_decoder_of_other_shapes_is_refused():
    with pytest.raises(ValueError, match=r"decode must give \(9, C, H, W\).*got \(8, 1, 4, 4\)"):
        latent_plane(cloud(2), lambda points: drawn(points[1:]), columns=3)
    with pytest.raises(ValueError, match=r"\(4, C, H, W\)"):
        interpolation(torch.zeros(2, 2, 1, 4, 4), torch.zeros(2, 2, 3), lambda points: points, columns=2)


# ------------------------------------------------------------------------------------------------------------ the lines


def test_lines_run_straight_from_one_code_to_the_other_between_their_images():
    generator, asked = torch.Generator().manual_seed(0), []
    images, codes = torch.rand(3, 2, 1, 4, 4, generator=generator), torch.randn(3, 2, 5, generator=generator)
    sheet = interpolation(images, codes, lambda points: asked.append(points) or drawn(points), columns=6)
    points = asked[0].reshape(3, 6, 5)
    assert torch.equal(points[:, 0], codes[:, 0]) and torch.equal(points[:, -1], codes[:, 1])
    assert torch.allclose(points.diff(dim=1), (codes[:, 1] - codes[:, 0])[:, None].expand(-1, 5, -1) / 5, atol=1e-6)
    pixels = np.asarray(sheet)
    columns = (pixels == LINE).any(0)
    edges = np.flatnonzero(np.diff(columns[np.newaxis].astype(int), prepend=0, append=0)[0])
    top = np.nonzero(pixels == LINE)[0].min() + 1
    scale = round(750 / (8 * 4))
    for end, left in ((0, edges[0] + 1), (1, edges[-1] - 1 - 4 * scale)):
        for row in range(3):
            y = top + row * (4 * scale + 1)
            cell = pixels[y : y + 4 * scale : scale, left : left + 4 * scale : scale]
            assert np.array_equal(cell, to_uint8(images[row, end : end + 1])[0, ..., 0])
    assert np.array_equal(pixels, np.asarray(interpolation(images, codes, drawn, columns=6)))


@pytest.mark.parametrize(
    ("images", "codes", "columns", "message"),
    [
        (torch.zeros(3, 1, 4, 4), torch.zeros(3, 2, 5), 4, r"got \(3, 1, 4, 4\) and \(3, 2, 5\)"),
        (torch.zeros(3, 2, 1, 4, 4), torch.zeros(2, 2, 5), 4, r"\(2, 2, 5\)"),
        (torch.zeros(3, 3, 1, 4, 4), torch.zeros(3, 3, 5), 4, r"\(rows, 2, D\)"),
        (torch.zeros(3, 2, 1, 4, 4), torch.full((3, 2, 5), torch.inf), 4, "finite"),
        (torch.zeros(3, 2, 1, 4, 4), torch.zeros(3, 2, 5), 1, "columns ≥ 2"),
    ],
)
def test_lines_refuse_what_has_no_two_ends(images, codes, columns, message):
    with pytest.raises(ValueError, match=message):
        interpolation(images, codes, drawn, columns=columns)
