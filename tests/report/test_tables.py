"""Results as a table: on the screen, as Markdown, and their numbers."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from genrun.report.tables import lines, markdown, number, results_markdown, show_results, table, with_deviation
from genrun.system.console import Screen

RESULTS = {
    "title": "vae on mnist, 1",
    "rows": [
        {
            "name": "precision (random)",
            "value": 0.93,
            "floor": 0.95,
            "floor_count": 1300,
            "best": "high",
            "note": "",
            "protocol": "p",
        },
        {"name": "training, s", "value": 1085.3, "note": "100 epochs"},
        {"name": "recall (random)", "value": 0.3, "floor": 0.95, "best": "high", "protocol": "p", "note": ""},
        {"name": "mine", "value": "a word", "note": ""},
        {"name": "Fréchet distance (Inception)", "value": None, "note": "its weights are not on disk"},
        {"name": "other", "value": None, "note": "too few"},
        {"name": "another", "value": None, "note": "too few"},
    ],
}


def shown(results: dict, width: int = 80, *, colour: bool = False) -> str:
    kind = {"force_terminal": True, "color_system": "standard"} if colour else {"force_terminal": False}
    console = Screen(width=width, file=io.StringIO(), **kind)
    show_results(results, console)
    return console.file.getvalue()


def test_brackets_in_a_name_are_shown_as_they_are():
    rows = [{"name": "a [red] | name", "value": 1, "note": "pip install 'genrun[inception]'"}]
    headings = ("metric", "value", "real", "", "")
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table("outputs/[b]x", headings, lines(rows)))
    printed = console.export_text()
    assert "a [red] | name" in printed and "genrun[inception]" in printed and "outputs/[b]x" in printed
    assert markdown("x", headings, lines(rows)).splitlines()[-1].count("|") == 6


def test_the_value_of_real_images_has_its_deviation():
    row = {
        "name": "precision (random)",
        "value": 0.945,
        "floor": 0.95,
        "floor_spread": 0.004,
        "best": "high",
        "note": "p",
    }
    assert lines([row]) == [["precision (random) ↑", "0.945", "0.950 ± 0.004", "real", "p"]]
    assert lines([{**row, "floor_spread": None}]) == [["precision (random) ↑", "0.945", "0.95", "good", "p"]]


def test_results_on_the_screen():
    assert shown(RESULTS).splitlines() == [
        "vae on mnist, 1",
        "clean digits, a third of the variety of real ones",
        "  metric                 value  real",
        "",
        "fidelity",
        "  precision (random) ↑    0.93  0.95  good  p; real: 1,300 images",
        "",
        "diversity",
        "  recall (random) ↑        0.3  0.95   bad  p",
        "",
        "cost",
        "  training, s            1,090              100 epochs",
        "",
        "method",
        "  mine                  a word",
        "",
        "not measured: Fréchet distance (Inception): its weights are not on disk",
        "not measured: other; another: too few",
    ]
    assert shown({"title": "x", "rows": []}).strip() == "x"


def test_good_and_bad_are_words_and_colours():
    coloured = shown(RESULTS, colour=True)
    assert "\x1b[32mgood\x1b[0m" in coloured and "\x1b[31m bad\x1b[0m" in coloured.replace(
        " \x1b[31mbad", "\x1b[31m bad"
    )


def test_results_as_markdown():
    assert results_markdown(RESULTS).splitlines() == [
        "# vae on mnist, 1",
        "",
        "clean digits, a third of the variety of real ones",
        "",
        "| metric | value | real |  |  |",
        "|---|---:|---:|---:|---|",
        "| **fidelity** |  |  |  |  |",
        "| precision (random) ↑ | 0.93 | 0.95 | good | p; real: 1,300 images |",
        "| **diversity** |  |  |  |  |",
        "| recall (random) ↑ | 0.3 | 0.95 | bad | p |",
        "| **cost** |  |  |  |  |",
        "| training, s | 1,090 |  |  | 100 epochs |",
        "| **method** |  |  |  |  |",
        "| mine | a word |  |  |  |",
        "",
        "not measured: Fréchet distance (Inception): its weights are not on disk",
        "",
        "not measured: other; another: too few",
    ]


def test_characters_that_a_terminal_obeys_are_written_out_everywhere():
    evil = "\x1b[31m"
    rows = [
        {"name": f"a{evil}", "value": 1.0, "note": evil},
        {"name": f"b{evil}", "value": None, "note": evil},
        {"name": "label accuracy", "value": 0.5, "floor": 1.0, "note": f"weakest: {evil}, 0.500"},
    ]
    results = {"title": evil, "rows": rows}
    assert "\x1b" not in shown(results) + results_markdown(results)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        ("a word", "a word"),
        (75302, "75,302"),
        (0.9997, "1.00"),
        (0.07, "0.07"),
        (1.0, "1"),
        (0.0, "0"),
        (0.30000001, "0.300"),
        (9.934, "9.93"),
        (99.96, "100"),
        (529.4, "529"),
        (1085.3, "1,090"),
        (-0.5613, "-0.561"),
        (0.00059293, "0.000593"),
        (5.929e-05, "5.93e-05"),
        (123456789.0, "1.23e+08"),
        (float("nan"), "nan"),
    ],
)
def test_three_significant_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "deviation", "text"),
    [
        (9.934, 0.016, "9.93 ± 0.02"),
        (0.01129, 0.0051, "0.0113 ± 0.0051"),
        (0.0007799, 0.00012, "0.00078 ± 0.00012"),
        (-0.0000023, 0.00012, "0.00000 ± 0.00012"),
        (8.05, 0.12, "8.05 ± 0.12"),
        (0.9999, 0.0, "1.00 ± 0"),
        (0.9999, 0.0001, "0.9999 ± 0.0001"),
        (12345.6, 123.0, "12,300 ± 100"),
        (4.55e-06, 4e-07, "4.55e-06 ± 4.00e-07"),
        (0.0, 0.0, "0 ± 0"),
        (0.0, 0.1234, "0 ± 0.123"),
        (3, 1.0, "3.0 ± 1.0"),
        (0.5, None, "0.5"),
        (None, 0.1, "–"),
    ],
)
def test_a_deviation_has_the_decimals_of_its_value(value, deviation, text):
    assert with_deviation(value, deviation) == text


@pytest.mark.parametrize(
    ("value", "deviation", "text"),
    [
        (1235.0, 2.3, "1,235 ± 2"),
        (15234.0, 30.0, "15,230 ± 30"),
        (0.9123, 0.0004, "0.9123 ± 0.0004"),
        (3.0, 1.414, "3.0 ± 1.4"),
    ],
)
def test_a_deviation_that_is_not_zero_is_not_shown_as_zero(value, deviation, text):
    assert with_deviation(value, deviation) == text


def test_a_cell_stays_a_cell():
    text = markdown("t", ["metric", "value", ""], [["a\n# b | <img src=x>", "1", "c\r\nd"]])
    assert text.splitlines()[-1] == "| a # b ∣ <img src=x> | 1 | c  d |"
