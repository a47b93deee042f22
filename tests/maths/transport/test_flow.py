"""Flows: a step against the loop that the poster describes, a Gaussian reached, inverse and density, resume, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from genrun.maths.transport import Conv, GenFlow, Linear, Mixture, Monotone, Polynomial, StandardNormal, Tiled, layers
from genrun.maths.transport.layers import step_generator


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int, seed: int = 0) -> torch.Tensor:
    """Two Gaussians in the plane."""
    side = torch.randint(0, 2, (n,), generator=seeded(seed))
    return torch.randn(n, 2, generator=seeded(seed + 1)) * 0.3 + torch.tensor([[-1.0, 0.0], [1.0, 0.5]])[side]


def images(n: int, shape=(1, 6, 6)) -> torch.Tensor:
    return torch.rand(n, *shape, generator=seeded(3)) ** 2


# ------------------------------------------------------------------------------------------------------------- the steps


def test_a_step_is_the_loop_over_axes_with_polyfit():
    x = torch.randn(6, 300, generator=seeded(), dtype=torch.float64)
    data = torch.rand(6, 300, generator=seeded(1), dtype=torch.float64) ** 2
    layer, shape = Linear(map=Polynomial(4)), (6, 1, 1)
    _, R = layer.geometry(shape, 7, 2, 0, x)
    R = R[0].numpy()
    y, targets = R @ x.numpy(), R @ data.numpy()
    for axis in range(6):
        c = np.polyfit(np.sort(y[axis]), np.sort(targets[axis]), 4)
        y[axis] = np.polyval(c, y[axis])
    expected = R.T @ y
    layer.fit_step(x, data, shape, 7, 2, "clamp")
    # R is drawn in single precision: its rows are orthonormal to 1e-7
    np.testing.assert_allclose(x, expected, atol=1e-5)


def test_tiles_are_the_patches_of_the_shifted_image():
    layer, shape = Tiled(2), (3, 5, 4)
    generator = step_generator(0, 0, 0)
    places = layer.places(shape, generator)
    again = step_generator(0, 0, 0)
    down, right = (int(torch.randint(side, (), generator=again)) for side in (5, 4))
    image = torch.arange(60).view(shape)
    rolled = torch.roll(image, (-down, -right), (1, 2))
    expected = [rolled[:, r : r + 2, c : c + 2].flatten() for r in (0, 2) for c in (0, 2)]
    assert torch.equal(places, torch.stack(expected))
    assert len(places.unique()) == places.numel()


def test_a_map_of_each_tile_reaches_the_marginals_of_each_tile():
    data = images(2000).flatten(1).T.contiguous()
    x = torch.randn(36, 3000, generator=seeded())
    layer = Tiled(1, map=Monotone(50))
    layer.fit_step(x, data, (1, 6, 6), 0, 0, "clamp")
    np.testing.assert_allclose(x.mean(1), data.mean(1), atol=0.01)
    np.testing.assert_allclose(x.std(1), data.std(1), atol=0.01)


def test_moving_a_large_tile_in_parts_is_moving_it_at_once(monkeypatch):
    data = images(500).flatten(1).T.contiguous().double()
    results = []
    for block in (2**20, 3000):
        monkeypatch.setattr("genrun.maths.transport.layers.BLOCK", block)
        x = torch.randn(36, 800, generator=seeded(), dtype=torch.float64)
        Tiled(3, map=Polynomial(3)).fit_step(x, data, (1, 6, 6), 0, 0, "clamp")
        results.append(x)
    np.testing.assert_allclose(results[0], results[1], atol=2e-5)


@pytest.mark.parametrize("rebuild", ["centre", "median"])
@pytest.mark.parametrize("shape", [(1, 5, 6), (3, 4, 4)])
def test_overlapping_patches_are_rebuilt_as_a_loop_over_pixels_does(shape, rebuild):
    C, H, W = shape
    x = images(4, shape).double()
    layer = Conv(3, map=Polynomial(2), rebuild=rebuild)
    R = layer.kernels(shape, 0, 0, 0, x)
    change = torch.randn(4, C * 9, H, W, generator=seeded(5), dtype=torch.float64)
    got = layer.rebuilt(x, change, R)
    padded = F.pad(x, (1, 1, 1, 1))
    said: dict[tuple[int, int], list[torch.Tensor]] = {}
    for h in range(H):
        for w in range(W):
            patch = padded[:, :, h : h + 3, w : w + 3] + (change[:, :, h, w] @ R.flatten(1)).view(4, C, 3, 3)
            for i in range(3):
                for j in range(3):
                    if rebuild == "median" or (i, j) == (1, 1):
                        said.setdefault((h + i - 1, w + j - 1), []).append(patch[:, :, i, j])
    for h in range(H):
        for w in range(W):
            expected = torch.stack(said[h, w]).nanmedian(0).values
            np.testing.assert_allclose(got[:, :, h, w], expected, atol=1e-9)


def test_overlapping_patches_share_a_rotation_and_maps():
    x = torch.randn(36, 500, generator=seeded())
    layer = Conv(3, map=Monotone(20))
    layer.fit_step(x, images(400).flatten(1).T.contiguous(), (1, 6, 6), 0, 0, "clamp")
    assert layer.maps.shape[:2] == (1, 9)
    # a step of patches of one pixel carries the distribution of all pixels together
    x, data = torch.randn(36, 500, generator=seeded()), images(400).flatten(1).T.contiguous()
    Conv(1, map=Monotone(50)).fit_step(x, data, (1, 6, 6), 0, 0, "clamp")
    levels = torch.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(x.flatten().quantile(levels), data.flatten().quantile(levels), atol=0.01)


# -------------------------------------------------------------------------------------------------------------- the flow


@pytest.mark.parametrize("map_", [Monotone(100), Polynomial(5)])
def test_a_gaussian_is_reached_to_monte_carlo_error(map_):
    A = torch.tensor([[2.0, 0.0, 0.0], [0.5, 0.5, 0.0], [-1.0, 0.2, 0.1]])
    data = torch.randn(20_000, 3, generator=seeded()) @ A.T + torch.tensor([1.0, -2.0, 0.0])
    flow = GenFlow([Linear(40, map_)], n_gen_samples=20_000).fit(data)
    fresh = flow.sample(20_000, generator=seeded(9)).flatten(1)
    # the standard error of a mean is σ/141, of a covariance about σ²/100, for the data and for the draws each
    scale = data.std(0)
    np.testing.assert_allclose(fresh.mean(0) / scale, data.mean(0) / scale, atol=0.06)
    np.testing.assert_allclose(
        fresh.T.cov() / torch.outer(scale, scale), data.T.cov() / torch.outer(scale, scale), atol=0.06
    )


def test_transform_is_what_fitting_did_to_the_particles():
    flow = GenFlow([Linear(3), Tiled(2, 2), Conv(3)], n_gen_samples=600)
    fitted = flow.fit_transform(images(300))
    assert fitted.shape == (600, 1, 6, 6)
    generator = seeded(flow.init_seed)
    flow.start.labels(600, generator)
    z = flow.start.sample(torch.zeros(600, dtype=torch.long), generator, fresh=False)
    np.testing.assert_allclose(flow.transform(z.view(-1, 1, 6, 6)), fitted, atol=1e-4)
    assert torch.equal(flow.as_images(flow.particles()[0]), fitted)


def test_arrays_come_back_as_they_were_given():
    flow = GenFlow([Linear(2)], n_gen_samples=100)
    given = blobs(50).numpy().astype(np.float64)
    fitted = flow.fit_transform(given)
    assert isinstance(fitted, np.ndarray) and fitted.shape == (100, 2)
    assert flow.transform(given).shape == (50, 2)


def test_a_fit_goes_on_after_the_last_fitted_step_with_the_same_maps():
    layers = lambda: [Linear(2), Tiled(3, 3), Conv(3, 1)]  # noqa: E731
    whole = GenFlow(layers(), n_gen_samples=400).fit(images(200))
    stopped = GenFlow(layers(), n_gen_samples=400)

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert total == 6
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        stopped.fit(images(200), progress=stop)
    assert stopped.last_fitted_layer == 1 and stopped.fitted_steps == 3
    again = GenFlow(layers(), n_gen_samples=400)
    again.load_state_dict(stopped.state_dict())  # buffers grow with the fit
    again.fit(images(200))
    assert again.last_fitted_layer == 3
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_layer_can_be_added_and_fitted_later():
    flow = GenFlow([Linear(2)], n_gen_samples=300).fit(images(200))
    before = flow.layers[0].maps.clone()
    flow.add_layer(Tiled(2, 1))
    assert flow.last_fitted_layer == 1 and len(flow.get_layer_list()) == 2
    flow.fit(images(200))
    assert flow.last_fitted_layer == 2 and torch.equal(flow.layers[0].maps, before)
    with pytest.raises(ValueError, match="patch=7"):
        flow.add_layer(Tiled(7))


def test_sizes_go_from_coarse_to_fine():
    flow = GenFlow([Linear(2, size=3), Conv(3, 1, size=0.5), Tiled(2, 1)], n_gen_samples=200).fit(images(100))
    assert [flow.shape_in(layer) for layer in flow.layers] == [(1, 3, 3), (1, 3, 3), (1, 6, 6)]
    assert flow.sample(5, generator=seeded()).shape == (5, 1, 6, 6)
    assert not flow.invertible
    with pytest.raises(ValueError, match="inverse needs monotone maps"):
        flow.inverse(images(2).flatten(1))


def test_optimised_slices_are_kept():
    flow = GenFlow([Tiled(3, 2, slices=4, optimised=True)], n_gen_samples=300).fit(images(200))
    assert flow.layers[0].directions.shape == (2, 4, 4, 9)
    again = GenFlow([Tiled(3, 2, slices=4, optimised=True)], n_gen_samples=300)
    again.load_state_dict(flow.state_dict())
    assert torch.equal(again.sample(10, generator=seeded()), flow.sample(10, generator=seeded()))


def test_the_inverse_is_the_inverse(monkeypatch):
    flow = GenFlow([Linear(4, Monotone(20)), Linear(3, Monotone(20), slices=1)], 2000, extrapolate="linear").fit(
        blobs(2000)
    )
    z = torch.randn(500, 2, generator=seeded(8), dtype=torch.float64)
    x = flow.through(z.T.contiguous().clone()).T
    back, log_det = flow.inverse(x)
    np.testing.assert_allclose(back, z, atol=1e-4)
    alone, nothing = flow.inverse(x, density=False)
    assert nothing is None and torch.equal(alone, back)
    monkeypatch.setattr(layers, "INVERSE_BLOCK", len(x))  # one axis at a time instead of both
    np.testing.assert_allclose(flow.inverse(x)[0], back, atol=1e-12)
    for point in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda v: GenFlow.through.__wrapped__(flow, v[:, None].clone())[:, 0], z[point]
        )
        np.testing.assert_allclose(torch.linalg.slogdet(jacobian)[1], log_det[point], atol=1e-4)


@pytest.mark.parametrize("mixture", [False, True])
def test_the_density_integrates_to_one_in_the_plane(mixture):
    start = Mixture(2, cells=3, scores=2) if mixture else StandardNormal(2)
    flow = GenFlow([Linear(8, Monotone(20))], 20_000, start=start, extrapolate="linear").fit(blobs(10_000))
    axis = torch.linspace(-4, 4, 600, dtype=torch.float64)
    density = flow.log_prob(torch.cartesian_prod(axis, axis)).exp()
    assert density.sum().item() * (axis[1] - axis[0]).item() ** 2 == pytest.approx(1, abs=0.01)


# ---------------------------------------------------------------------------------------------------------- the mixture


def test_a_mixture_is_drawn_from_its_density():
    data = torch.randn(3000, 4, generator=seeded()) * torch.tensor([3.0, 1.0, 0.1, 0.1]) + 2
    start = Mixture(4, cells=2, scores=2)
    start.fit(data, torch.zeros(3000, dtype=torch.long))
    x = start.sample(torch.zeros(20_000, dtype=torch.long), seeded(1)).double()
    np.testing.assert_allclose(x.mean(0), data.mean(0), atol=0.1)
    np.testing.assert_allclose(x.std(0), data.std(0), rtol=0.05)
    # E_p[q/p] = 1 for a density q whose mass p covers
    mean, scale = x.mean(0), 0.5 * x.std(0)
    q = torch.distributions.Normal(mean, scale).log_prob(x).sum(1)
    assert (q - start.double().log_prob(x)).exp().mean().item() == pytest.approx(1, abs=0.1)


def test_a_mixture_has_fewer_cells_when_there_are_few_images():
    start = Mixture(4, 2, cells=20, scores=2, images_per_cell=10)
    start.fit(torch.randn(80, 4, generator=seeded()), torch.arange(80) // 50)  # 50 and 30 images
    assert (start.prior.weights > 0).sum(1).tolist() == [3, 3]


def test_a_mixture_of_classes_follows_the_labels_and_their_shares():
    data = torch.cat([torch.randn(300, 3, generator=seeded()) - 5, torch.randn(100, 3, generator=seeded(1)) + 5])
    labels = torch.tensor([0] * 300 + [1] * 100)
    flow = GenFlow([Linear(1)], 2000, start=Mixture(3, 2, cells=2, scores=2)).fit(data, labels)
    np.testing.assert_allclose(flow.start.shares, [0.75, 0.25])
    drawn = flow.sample(200, torch.arange(200) % 2, generator=seeded(2)).flatten(1)
    assert (drawn[0::2].mean(1) < 0).all() and (drawn[1::2].mean(1) > 0).all()
    _, of_particles = flow.particles()
    assert of_particles.bincount().tolist() == [1500, 500]


# --------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("layers", "options", "data", "error"),
    [
        (
            [Linear(map=Polynomial(6))],
            {"n_gen_samples": 5},
            blobs(100),
            "layer 1, Linear: a polynomial of degree 6 needs",
        ),
        ([Linear(map=Polynomial(6))], {}, blobs(4), "needs at least 7 particles and as many images, got 10000 and 4"),
        ([Linear()], {}, blobs(100).fill_(float("nan")), "expected finite numbers"),
        ([Tiled(7)], {}, images(10), "layer 1, Tiled: patch=7: the image has only 6×6 pixels"),
        ([Conv(7)], {}, images(10), "layer 1, Conv: patch=7: the image has only 6×6 pixels"),
        ([Tiled(2, slices=5)], {}, images(10), "slices=5: a tile has only 4 values"),
        ([Linear(size=3)], {"start": StandardNormal(36)}, images(10), "the first layer has 9"),
        ([], {}, images(10), "layers: expected at least one"),
        ([Linear()], {"start": Mixture(36, cells=20)}, images(30), "principal components need more images"),
        ([Linear()], {"start": Mixture(36, 2, scores=3)}, images(10), "at least 2 images of class 1, got 0"),
        ([Linear()], {}, torch.zeros(3), "expected points"),
        ([Linear()], {"n_gen_samples": 1}, images(10), "n_gen_samples: expected at least 2"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(layers, options, data, error):
    with pytest.raises(ValueError, match=error):
        GenFlow(layers, **options).fit(data)


def test_other_data_and_other_architectures_are_refused():
    flow = GenFlow([Linear(2)], n_gen_samples=100).fit(blobs(100))
    with pytest.raises(ValueError, match="for data of shape"):
        flow.transform(torch.randn(5, 3))
    with pytest.raises(ValueError, match="another architecture: 2 steps in a layer of 1"):
        GenFlow([Linear(1)], n_gen_samples=100).load_state_dict(flow.state_dict())


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(0),
        lambda: Linear(size=0),
        lambda: Tiled(0),
        lambda: Tiled(2.5),
        lambda: Tiled(2, slices=0),
        lambda: Conv(4),
        lambda: Conv(3, rebuild="mean"),
        lambda: GenFlow([], extrapolate="clmap"),
        lambda: StandardNormal(3, fresh_scale=0),
        lambda: Mixture(5, 3, cells=2),
        lambda: Mixture(5, scores=0),
        lambda: Mixture(5, images_per_cell=0),
    ],
)
def test_options_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="expected"):
        make()


def test_the_density_of_a_normal_start_is_that_of_its_fresh_draws():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.distributions.Normal(0.0, 0.9).log_prob(x).sum(1)
    torch.testing.assert_close(StandardNormal(3, fresh_scale=0.9).log_prob(x), expected)
