"""One-dimensional maps against numpy: polynomials against polyfit, monotone maps against quantiles, slopes against autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrun.maths.transport import Monotone, Polynomial
from genrun.maths.transport.marginal_maps import SMALL, at_ranks, piece_of, sort_rows


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pair(rows: int = 5, n: int = 400, dtype=torch.float64):
    x = torch.randn(rows, n, generator=seeded(), dtype=dtype)
    y = torch.rand(rows, n, generator=seeded(1), dtype=dtype).square() * 3 - 1
    return x, y


@pytest.mark.parametrize("shape", [(3, 7), (4, SMALL)])  # alone, and shared among threads
def test_rows_are_sorted_and_the_values_stay_as_they_are(shape):
    values = torch.randn(shape, generator=seeded())
    before = values.clone()
    assert torch.equal(sort_rows(values), before.sort(1).values)
    assert torch.equal(values, before)
    assert torch.equal(sort_rows(values.mT), before.mT.sort(1).values)


def test_values_between_sorted_ones_are_numpys_quantiles():
    ordered = torch.randn(3, 50, generator=seeded(), dtype=torch.float64).sort(1).values
    u = torch.linspace(0, 1, 17, dtype=torch.float64)
    expected = np.quantile(ordered.numpy(), u.numpy(), axis=1).T
    np.testing.assert_allclose(at_ranks(ordered, u * 49), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 3, 6, 9, 12])
def test_a_polynomial_is_that_of_polyfit(degree):
    x, y = pair()
    map_ = Polynomial(degree)
    got = map_(map_.fit(x, y), x)
    for row in range(len(x)):
        c = np.polyfit(np.sort(x[row]), np.sort(y[row]), degree)
        np.testing.assert_allclose(got[row], np.polyval(c, x[row]), rtol=1e-8, atol=1e-9)


def test_a_polynomial_in_single_precision_is_near_that_in_double_precision():
    x, y = pair()
    map_ = Polynomial(9)
    single = map_(map_.fit(x.float(), y.float()), x.float())
    np.testing.assert_allclose(single, map_(map_.fit(x, y), x), atol=2e-5)


@pytest.mark.parametrize("outlier", [20.0, 100.0])
def test_a_value_far_out_does_not_spoil_the_polynomial(outlier):
    x, y = pair(dtype=torch.float32)
    x[:, 0] = outlier
    map_ = Polynomial(9)
    got = map_(map_.fit(x, y), x)
    exact = map_(map_.fit(x.double(), y.double()), x.double())
    # single precision cannot hold a polynomial of degree 9 over such a range any better
    assert (got - exact).square().mean(1).sqrt().max() < 0.1


def test_particles_are_matched_to_the_quantiles_of_another_number_of_targets():
    x = torch.linspace(-1, 1, 101, dtype=torch.float64)[None]
    y = torch.linspace(3, 7, 4001, dtype=torch.float64)[None]
    map_ = Polynomial(1)
    np.testing.assert_allclose(map_(map_.fit(x, y), x), 5 + 2 * x, atol=0.03)


def test_outside_its_support_a_polynomial_is_constant_or_has_slope_1_or_goes_its_own_way():
    x = torch.tensor([[0.0, 1.0, 2.0, 3.0]], dtype=torch.float64)
    map_ = Polynomial(2)
    parameters = map_.fit(x, x.square())
    beyond = torch.tensor([[-1.0, 4.0]], dtype=torch.float64)
    np.testing.assert_allclose(map_(parameters, beyond, "clamp"), [[0, 9]], atol=1e-9)
    np.testing.assert_allclose(map_(parameters, beyond, "linear"), [[-1, 10]], atol=1e-9)
    np.testing.assert_allclose(map_(parameters, beyond, "free"), [[1, 16]], atol=1e-9)


@pytest.mark.parametrize("map_", [Polynomial(3), Monotone(20)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_axis_becomes_the_targets_and_constant_targets_become_the_axis(map_, dtype):
    x = torch.randn(1, 100, generator=seeded(), dtype=dtype)
    constant = torch.full((1, 100), 0.25, dtype=dtype)
    np.testing.assert_allclose(map_(map_.fit(x, constant), x), 0.25, atol=1e-3)
    assert map_(map_.fit(constant, x), constant).isfinite().all()
    np.testing.assert_allclose(map_(map_.fit(0 * constant, 0 * constant), 0 * constant), 0, atol=1e-3)


@pytest.mark.parametrize(("map_", "particles"), [(Polynomial(6), 6), (Monotone(), 1)])
def test_too_few_particles_are_refused(map_, particles):
    with pytest.raises(ValueError, match="needs at least"):
        map_.fit(torch.randn(2, particles), torch.randn(2, 100))
    with pytest.raises(ValueError, match="needs at least"):
        map_.fit(torch.randn(2, 100), torch.randn(2, particles))


@pytest.mark.parametrize(("family", "wrong"), [(Polynomial, 0), (Polynomial, 13), (Monotone, 1), (Monotone, 5000)])
def test_degrees_and_knots_out_of_range_are_refused(family, wrong):
    with pytest.raises(ValueError, match="expected"):
        family(wrong)


def test_the_piece_is_that_of_searchsorted():
    for count in (2, 3, 7, 8, 9, 33):
        knots = torch.rand(4, count, generator=seeded()).cumsum(1)
        x = torch.rand(4, 500, generator=seeded(1)) * (knots[:, -1:] - knots[:, :1]) + knots[:, :1]
        x = torch.cat([x, knots[:, :1], knots[:, -1:]], 1).clamp(knots[:, :1], knots[:, -1:])
        expected = (torch.searchsorted(knots, x, right=True) - 1).clamp(0, count - 2)
        assert torch.equal(piece_of(knots, x).long(), expected + torch.arange(4)[:, None] * (count - 1))


def test_a_monotone_map_carries_the_quantiles_and_increases():
    x, y = pair(n=5000)
    map_ = Monotone(100)
    parameters = map_.fit(x, y)
    u = torch.linspace(0.001, 0.999, 500, dtype=torch.float64)
    values = torch.quantile(x, u, dim=1).T
    got = map_(parameters, values)
    assert (got.diff(dim=1) > 0).all()
    np.testing.assert_allclose(got, torch.quantile(y, u, dim=1).T, atol=0.02)
    knots, targets = parameters.chunk(2, 1)
    np.testing.assert_allclose(map_(parameters, knots), targets, atol=1e-12)


def test_outside_its_support_a_monotone_map_is_constant_or_has_slope_1():
    x, y = pair(1)
    map_ = Monotone(10)
    parameters = map_.fit(x, y)
    beyond = torch.tensor([[x.min() - 2, x.max() + 3]], dtype=torch.float64)
    ends = torch.tensor([[y.min(), y.max()]], dtype=torch.float64)
    np.testing.assert_allclose(map_(parameters, beyond, "clamp"), ends)
    np.testing.assert_allclose(map_(parameters, beyond, "linear"), ends + torch.tensor([[-2, 3]]))


def test_the_inverse_is_the_inverse_and_the_slope_is_that_of_autograd():
    x, y = pair()
    map_ = Monotone(30)
    parameters = map_.fit(x, y)
    values = (torch.rand(5, 300, generator=seeded(2), dtype=torch.float64) * 10 - 5).requires_grad_()
    images, log_slopes = map_.mapped(parameters, values, "linear", slopes=True)
    slopes = torch.autograd.grad(images.sum(), values)[0]
    np.testing.assert_allclose(log_slopes.detach(), slopes.log(), atol=1e-9)
    back, at_back = map_.inverse(parameters, images.detach())
    np.testing.assert_allclose(back, values.detach(), atol=1e-9)
    np.testing.assert_allclose(at_back, log_slopes.detach(), atol=1e-7)
