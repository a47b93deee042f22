"""Bar codes are as dark, and bars as long, as the units are active."""

from __future__ import annotations

import numpy as np
import pytest

from genrun.figures.barcodes import BARS, MOST_COLUMNS, STRIP, barcodes, bars, pooled, strip


def test_a_strip_is_darker_where_the_value_is_larger():
    drawn = strip(np.array([0.0, 0.5, 1.0, 2.0]))
    assert drawn.shape == (STRIP, 4, 3) and drawn[0, :, 0].tolist() == [255, 128, 0, 0]


def test_bars_go_from_the_line_of_0_to_the_value():
    drawn = bars(np.array([1.0, 0.0, -0.5]), -0.5, 1.0)[..., 0]
    blue = (drawn == 0x1F).sum(0)
    assert drawn.shape == (BARS, 3) and blue[1] == 0 and abs(blue[0] - 2 * blue[2]) <= 2 and blue[0] > BARS / 2
    assert (drawn[:, 0] == 0x1F).argmax() < (drawn[:, 2] == 0x1F).argmax()  # up, and down
    assert (bars(np.zeros(3), 0.0, 0.0) == 255).any()


def test_long_codes_keep_the_largest_of_neighbouring_units():
    values = np.zeros((1, 3 * MOST_COLUMNS - 1))
    values[0, 4], values[0, 7] = -3, 2
    assert pooled(values)[0, :3].tolist() == [0, -3, 2] and pooled(values).shape == (1, MOST_COLUMNS)
    assert pooled(values[:, :10]) is not None and pooled(values[:, :10]).shape == (1, 10)


@pytest.mark.parametrize(("classes", "size"), [(1, 1), (3, 20), (10, 1152), (2, 2048), (2, 9000)])
def test_a_sheet_has_a_row_for_each_class_and_every_unit_has_its_column(classes, size):
    codes = np.random.default_rng(0).normal(size=(classes, size))
    sheet = barcodes(np.abs(codes), codes, ["name\nsparsity 0.10"] * classes)
    assert min(size, 800) <= sheet.width <= MOST_COLUMNS + 300
    assert sheet.height > classes * (STRIP + BARS) and len(np.unique(np.asarray(sheet))) > 5


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="K captions"):
        barcodes(np.ones((2, 3)), np.ones((2, 3)), ["one"])
    with pytest.raises(ValueError, match="finite"):
        barcodes(np.full((1, 3), np.inf), np.ones((1, 3)), ["one"])
