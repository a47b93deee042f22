"""Charts: which terms of metrics.csv are drawn together, on which axis, and that the drawing follows the style sheet."""

from __future__ import annotations

import json

import pytest

from genrun.report.page.charts import Chart, Series, curves, epoch_ticks, in_words, svg


def rows(**terms):
    keys = {key.replace("__", "/"): values for key, values in terms.items()}
    length = max(map(len, keys.values()))
    return [
        {"epoch": k + 1, "step": k, **{key: values[k] for key, values in keys.items() if k < len(values)}}
        for k in range(length)
    ]


def test_training_and_validation_of_a_term_share_a_chart():
    loss, look = curves(rows(judge__frechet=[9.0, 3.0], train__loss=[4.0, 2.0], val__loss=[5.0, 3.0]))
    assert [line.name for line in loss.series] == ["training", "validation"]
    assert loss.title == "loss" and look.title == "Fréchet distance, early look"
    assert loss.series[0].points == [(1, 4.0), (2, 2.0)]


def test_a_phase_is_named_and_a_term_of_one_epoch_is_no_curve():
    (chart,) = curves(rows(train__decoder_pixels__mae=[2.0, 1.0], val__score=[1.0], other__loss=[1.0, 2.0]))
    assert chart.title == "decoder pixels: mae"


def test_values_that_are_no_numbers_are_left_out():
    (chart,) = curves(rows(train__loss=[1.0, float("nan"), float("inf"), 2.0]))
    assert [x for x, _ in chart.series[0].points] == [1, 4]


@pytest.mark.parametrize(
    ("values", "kind"), [([100.0, 1.0], "log"), ([3.0, 1.0], None), ([1.0, -1.0, 2.0, 1e4], "symlog")]
)
def test_the_axis_is_logarithmic_where_that_shows_more(values, kind):
    (chart,) = curves(rows(train__loss=values))
    scale = chart.spec(live=True)["encoding"]["y"]["scale"]
    assert scale.get("type") == kind


@pytest.mark.parametrize(
    ("first", "last", "ticks"),
    [(1, 2, [1, 2]), (1, 6, [1, 2, 3, 4, 5, 6]), (1, 30, [10, 20, 30]), (1, 100, [20, 40, 60, 80, 100]), (7, 7, [7])],
)
def test_ticks_are_whole_epochs(first, last, ticks):
    assert epoch_ticks([first, last]) == ticks


def test_a_curve_in_words():
    assert in_words([(1, 9.0), (2, 2.0), (3, 4.0)]) == "from 9 to 4, lowest 2 at epoch 2"
    assert in_words([(1, 9.0), (2, 2.0)]) == "from 9 to 2"


def test_the_drawing_has_no_colours_of_its_own_and_nothing_hostile():
    name = "</script><script>alert(1)</script>"
    lines = [Series(name, 1, [(1, 2.0), (2, 1.0)]), Series("b", 9, [(1, 3.0), (2, 2.0)])]
    chart = Chart("<b>title</b>", "epoch", "", lines)
    drawn = svg(chart)
    assert "var(--c1)" in drawn and "var(--muted)" in drawn and "<script" not in drawn
    assert "http" not in drawn.replace("http://www.w3.org/", "")
    json.dumps(chart.spec(live=True))


def test_lines_beyond_the_colours_are_dashed():
    chart = Chart("t", "epoch", "", [Series(f"run {k}", k, [(1, 1.0), (2, float(k))]) for k in range(1, 11)])
    spec = chart.spec(live=True)
    assert spec["encoding"]["color"]["scale"]["range"][8] == "var(--c1)"
    assert {value["d"] for value in spec["data"]["values"] if value["s"] == "run 9"} == {"1"}
    assert len(chart.legend) == 10
