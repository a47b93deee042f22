"""Plots draw what there is, and leave matplotlib's and the process's state alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from genrun.figures.compared import compared
from genrun.figures.grid import image_grid
from genrun.figures.plots import MOST_POINTS, _components, _limits, _powers, _series, code_scatter, curves


def rows_of(epochs):
    return [{"epoch": e, "train/loss": 100 / e**2, "val/loss": 110 / e**2, "time": 1.0} for e in range(1, epochs + 1)]


def test_series_skips_what_is_missing_and_keeps_order():
    rows = [
        {"epoch": 0, "train/b": 1, "train/a": "2.5", "val/b": "", "lr": 3},
        {"epoch": "1", "train/b": None, "train/a": float("nan"), "val/b": 4},
    ]
    assert _series(rows) == {("b", "train"): [(0, 1)], ("a", "train"): [(0, 2.5)], ("b", "val"): [(1, 4)]}


def test_curves_have_one_panel_per_term_three_a_row():
    one = curves(rows_of(5))
    more = curves([{**row, "train/kl": 1.0, "val/score": -2.0, "train/x": 3.0} for row in rows_of(5)])
    assert one.mode == more.mode == "RGB"
    assert one.size == (363, 275)  # 3.3 × 2.5 inches at 110 dots
    assert more.size == (1023, 517)  # four terms: three and one
    assert np.asarray(more)[300:, 700:].min() == 255  # the empty places stay white
    assert np.array_equal(np.asarray(one), np.asarray(curves(rows_of(5))))


def test_curves_draw_validation_only_where_there_is_some():
    orange = (np.asarray(curves(rows_of(5))).astype(int) @ [1, 0, -1] > 150).any()
    assert orange
    only = np.asarray(curves([{"epoch": 1, "train/loss": 1.0}])).astype(int)
    assert not (only @ [1, 0, -1] > 150).any() and (only @ [-1, 0, 1] > 90).any()


def test_one_bad_epoch_hides_no_other():
    rows = [{"epoch": k, "train/loss": 1e8 if k == 1 else 2.0 / k - 0.3} for k in range(1, 15)]
    drawn = np.asarray(curves(rows)).astype(int)
    line = (np.abs(drawn - [0x1F, 0x5F, 0x99]).sum(-1) < 60).nonzero()
    later = line[0][(line[1] > 0.4 * drawn.shape[1]) & (line[0] > 60)]  # rows of the line's pixels, without the legend
    assert later.max() - later.min() > 8  # it still falls after the first epoch
    assert _powers([1e8, 0.5, -0.2], 0.3) == [0.0, 1e8, 1e5, 100.0] and _powers([-5e3, 1.0], 1.0) == [
        0.0,
        -1e3,
        -100.0,
        -10.0,
    ]
    assert _powers([0.2], 0.3) == [0.0]


def test_a_single_epoch_is_a_whole_number_on_the_axis(monkeypatch):
    drawn = []
    monkeypatch.setattr("genrun.figures.plots.picture_of", drawn.append)
    monkeypatch.setattr("genrun.figures.compared.picture_of", drawn.append)
    curves([{"epoch": 1, "train/a": 1.0}])
    compared({"one": [(1, 2.0)], "two": [(1, 3.0)]}, "score")
    for figure in drawn:
        low, high = figure.axes[0].get_xlim()
        assert (low, high) == (0, 2)
    assert all(line.get_marker() == "o" for line in drawn[1].axes[0].lines)  # the line of one point is not seen


def test_curves_refuse_rows_without_terms():
    for rows in ([], [{"epoch": 1, "lr": 1.0}], [{"epoch": 1, "train/loss": float("inf")}]):
        with pytest.raises(ValueError, match="train/… or val/…"):
            curves(rows)
    with pytest.raises(ValueError, match="epoch"):
        curves([{"train/loss": 1.0}])


def test_components_are_those_of_an_independent_decomposition():
    rng = np.random.default_rng(3)
    last = rng.normal(size=(60, 5)) * [1, 6, 2, 0.5, 3] + 4
    first = rng.normal(size=(60, 5))
    (a, b), shares = _components(first, last)
    centred = last - last.mean(0)
    _, s, v = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(b), np.abs(centred @ v[:2].T))
    assert np.allclose(np.abs(a), np.abs((first - last.mean(0)) @ v[:2].T))
    assert np.allclose(shares, (s**2 / (s**2).sum())[:2])


def test_one_dimension_one_code_and_equal_codes_are_drawn():
    (_, b), shares = _components(np.arange(5.0)[:, None], 2 * np.arange(5.0)[:, None])
    assert np.allclose(shares, [1, 0]) and (b[:, 1] == 0).all() and np.isclose(np.ptp(b[:, 0]), 8)
    for codes in (np.arange(5.0)[:, None], np.zeros((1, 3)), np.ones((6, 2))):
        image = code_scatter(0 * codes, codes, np.full(len(codes), -1), [])
        assert image.size == (792, 407)


def test_limits_are_shared_unless_one_cloud_is_a_dot():
    corners = np.array([[0.0, 0], [4, 2]])
    same = _limits(corners, corners + 2)
    assert same[0][1] == same[1][1] == pytest.approx(0.54 * 6) and same[0][0].tolist() == [3, 2]
    own = _limits(corners / 100, corners)
    assert own[1][1] / own[0][1] == pytest.approx(100)


def test_a_scatter_has_a_colour_per_class_and_a_legend_only_with_classes(digits):
    rng = np.random.default_rng(0)
    codes, labels = rng.normal(size=(300, 4)), rng.integers(0, 3, 300)
    classed = code_scatter(codes, 2 * codes, labels, ["a", "b", "c"])
    plain = code_scatter(codes, 2 * codes, np.full(300, -1), ["a", "b", "c"])
    assert classed.width > plain.width
    assert np.array_equal(np.asarray(plain), np.asarray(code_scatter(codes, 2 * codes, labels, [])))
    pixels = np.asarray(classed).astype(int)
    for colour in ((31, 119, 180), (255, 127, 14), (44, 160, 44)):  # the first three of tab10, in the legend
        assert (np.abs(pixels[:, 790:] - colour).max(-1) < 6).any()
    assert code_scatter(codes, codes, labels % 2 - 1, ["only"]).width == classed.width


def test_a_scatter_thins_the_same_way_each_time_and_leaves_global_randomness_alone():
    rng = np.random.default_rng(0)
    n = MOST_POINTS + 500
    codes, labels = rng.normal(size=(n, 6)), rng.integers(0, 10, n)
    np.random.seed(5)
    torch.manual_seed(5)
    before, torch_before = np.random.get_state(), torch.get_rng_state()
    image = code_scatter(codes, codes**2, labels, [str(k) for k in range(10)])
    image_grid(torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)), 2)
    after = np.random.get_state()
    assert before[2:] == after[2:] and np.array_equal(before[1], after[1])
    assert torch.equal(torch_before, torch.get_rng_state())
    assert np.array_equal(np.asarray(image), np.asarray(code_scatter(codes, codes**2, labels, list("0123456789"))))


@pytest.mark.parametrize(
    ("first", "last", "labels", "message"),
    [
        (np.zeros((4, 2)), np.zeros((5, 2)), np.zeros(4, int), r"\(4, 2\), \(5, 2\) and \(4,\)"),
        (np.zeros((4, 2)), np.zeros((4, 2)), np.zeros(3, int), r"and \(3,\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, int), r"\(0, 2\)"),
        (np.zeros((4, 2)), np.full((4, 2), np.nan), np.zeros(4, int), "finite"),
        (np.zeros((4, 2)), np.ones((4, 2)), np.full(4, 7), "-1 … 1"),
    ],
)
def test_a_scatter_refuses_codes_that_do_not_fit(first, last, labels, message):
    with pytest.raises(ValueError, match=message):
        code_scatter(first, last, labels, ["a", "b"])


def test_pyplot_is_never_imported_and_matplotlib_only_by_plots():
    code = """
import sys, torch, numpy as np
from genrun.figures import gif, grid, plots
grid.image_grid(torch.zeros(2, 1, 8, 8), 2, row_names=["x"])
assert "matplotlib" not in sys.modules and "sklearn" not in sys.modules
import matplotlib
# (reading the backend would load pyplot)
settings = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}
before = settings()
plots.curves([{"epoch": 1, "train/a": 1.0}])
plots.code_scatter(np.eye(3), np.eye(3), np.arange(3), ["a", "b", "c"])
assert "matplotlib.pyplot" not in sys.modules
assert settings() == before
assert not {"lightning", "pytorch_lightning", "hydra", "omegaconf"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
