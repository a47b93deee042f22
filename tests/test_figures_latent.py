"""The plane and the lines are those of the codes, by an independent decomposition, and labels go where a method wants them."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import norm
from sklearn.decomposition import PCA

from genrun.data.images import Stored
from genrun.figures.grid import LINE, to_uint8
from genrun.figures.latent import interpolation, latent_plane
from genrun.stages.method_figures import latent_figures, pairs
from genrun.types import Decodes, Encodes, KeepsCodes


def drawn(codes: torch.Tensor) -> torch.Tensor:
    """(n, D) → images (n, 1, 4, 4) whose pixels tell the first two numbers."""
    images = torch.zeros(len(codes), 1, 4, 4)
    images[:, 0, :2] = codes[:, 0, None, None].sigmoid()
    images[:, 0, 2:] = codes[:, -1, None, None].sigmoid()
    return images


def cloud(dimensions: int, n: int = 60) -> torch.Tensor:
    scale = torch.tensor([1.0, 6, 2, 0.5, 3])[:dimensions]
    return torch.randn(n, dimensions, generator=torch.Generator().manual_seed(0)) * scale + 4


class Coder:
    """Codes are an image's means of its halves; a conditional one wants labels wherever it can."""

    device, image_shape = torch.device("cpu"), (1, 4, 4)

    def __init__(self, num_classes: int) -> None:
        self.num_classes, self.encoded, self.decoded = num_classes, [], []

    def encode(self, images, labels=None):
        assert (labels is not None) == bool(self.num_classes)
        self.encoded.append(labels)
        return torch.stack([images[..., :2, :].mean((1, 2, 3)), images[..., 2:, :].mean((1, 2, 3))], 1)

    def decode_codes(self, codes, labels=None):
        assert (labels is not None) == bool(self.num_classes) and (labels is None or len(labels) == len(codes))
        self.decoded.append(labels)
        return codes.clamp(0, 1)[:, None, :, None].repeat_interleave(2, 2).expand(-1, 1, 4, 4)


class Keeper(Coder):
    """Keeps the codes of its training images, and must not be asked for others."""

    def __init__(self, num_classes: int, n: int) -> None:
        super().__init__(num_classes)
        self.codes = torch.rand(n, 2, generator=torch.Generator().manual_seed(2))

    def stored_codes(self):
        return self.codes

    def encode(self, images, labels=None):
        raise AssertionError("there are stored codes")


def job_of(method, n: int = 60, classes: int = 10) -> SimpleNamespace:
    array = torch.randint(0, 256, (n, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(n) // max(1, n // max(1, classes)) % classes if classes else torch.full((n,), -1)
    split = Stored(array=array, labels=labels)
    return SimpleNamespace(
        method=method,
        data=SimpleNamespace(test=split, train=split),
        cfg=SimpleNamespace(seed=0, sample=SimpleNamespace(chunk=500)),
    )


# ---------------------------------------------------------------- the plane


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


# ---------------------------------------------------------------- the lines


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


# ---------------------------------------------------------------- of a job


def test_pairs_of_one_class_take_classes_in_turn_and_others_differ():
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 0, 1, 0])
    assert pairs(labels, alike=True).tolist() == [
        [0, 2],
        [1, 4],
        [5, 6],
    ]  # one 2, a third 1 and a fifth 0 are left over
    assert pairs(labels, alike=True, most=1).tolist() == [[0, 2]]
    differing = pairs(labels, alike=False)
    assert len(differing.unique()) == 8 and (labels[differing[:3, 0]] != labels[differing[:3, 1]]).all()
    assert pairs(torch.full((5,), -1), alike=False).tolist() == [[0, 1], [2, 3]]
    for alike in (True, False):
        assert pairs(torch.zeros(0, dtype=torch.int64), alike=alike).shape == (0, 2)
        assert pairs(torch.zeros(1, dtype=torch.int64), alike=alike).shape == (0, 2)


def test_an_unconditional_method_is_given_no_labels():
    method = Coder(0)
    assert isinstance(method, Encodes) and isinstance(method, Decodes) and not isinstance(method, KeepsCodes)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    made = latent_figures(job_of(method, classes=0))
    assert torch.equal(before, torch.get_rng_state())
    assert set(made) == {"latent_plane.png", "interpolation.png"} and made == latent_figures(
        job_of(Coder(0), classes=0)
    )
    for content in made.values():
        assert Image.open(io.BytesIO(content)).mode == "L" and len(content) < 100_000


def test_a_conditional_method_shows_the_plane_of_a_two_and_lines_within_classes():
    method = Coder(10)
    latent_figures(job_of(method))
    assert set(method.encoded[0].tolist()) == {2} == set(method.decoded[0].tolist()) and len(method.decoded[0]) == 225
    ends = method.encoded[1].reshape(8, 2)
    assert ends[:, 0].tolist() == ends[:, 1].tolist() == list(range(8))
    assert method.decoded[1].reshape(8, 10).tolist() == [[k] * 10 for k in range(8)]
    two = Coder(2)
    latent_figures(job_of(two, classes=2))
    assert set(two.encoded[0].tolist()) == {1}


def test_codes_that_a_method_keeps_are_taken_as_they_are():
    method = Keeper(10, 60)
    assert set(latent_figures(job_of(method))) == {"latent_plane.png", "interpolation.png"}
    kept = []
    method.decode_codes = lambda codes, labels: kept.append(codes) or Coder.decode_codes(method, codes, labels)
    job = job_of(method)
    latent_figures(job)
    ends = kept[1].reshape(8, 10, 2)[:, [0, 9]]
    for label, pair in enumerate(ends):
        of_class = method.codes[job.data.train.labels == label]
        assert all((of_class == code).all(1).any() for code in pair)


def test_too_few_images_give_no_figure():
    assert latent_figures(job_of(Coder(0), n=1, classes=0)) == {}
    assert latent_figures(job_of(Coder(10), n=0)) == {}
    assert set(latent_figures(job_of(Coder(0), n=2, classes=0))) == {"latent_plane.png", "interpolation.png"}
