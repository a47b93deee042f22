"""Tables at the width of a screen: whole numbers, whole names, and nothing lost."""

from __future__ import annotations

import io
import random
import re

import pytest
from rich.console import Console

from genrun.report.screen import JobTable, ScreenTable

RESULTS = [
    ["reference classifier, accuracy", "0.9944", "", "360 test images; sha256 4a63e643"],
    [
        "Fréchet distance to training (classifier) ↓",
        "8.031 ± 0.12",
        "0.233 (1,300)",
        "500 against 1,300 training images",
    ],
    ["kernel distance (classifier) ↓", "0.05626 ± 0.02", "-0.008278", "20 draws of 180"],
    ["peak memory, GiB", "0.906", "", "of the process until training ended, with the sample checks after epochs"],
    ["a [red] name", "1,234,567", "", ""],
]
GROUPS = [["vae", f"{10.0**-k:.4g}", "3", *[f"{k + 0.1234:.4f} ± 0.12{m}" for m in range(7)], ""] for k in range(5)]
OF_GROUPS = [
    "model",
    "lr",
    "runs",
    "label accuracy",
    "Fréchet",
    "random",
    "coverage",
    "authenticity",
    "C_T",
    "training, s",
    "",
]


def printed(table, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(table)
    return console.file.getvalue().splitlines()


def check(headings: list[str], lines: list[list[str]], width: int, keys: int = 1) -> list[str]:
    """Check that no line is too wide, every value is whole, and every word is there; return the lines."""
    shown = printed(ScreenTable("a title", headings, lines, keys), width)
    assert max(map(len, shown)) <= width and "…" not in "".join(shown)
    together = " ".join(shown)
    for line in lines:
        for value in line[keys:-1]:
            assert value in together, (value, width)
        assert all(word in together for cell in (line[0], line[-1]) for word in cell.split() if len(word) < 14)
    for heading in headings:
        assert all(word in together for word in heading.split() if len(word) < 14)
    return shown


@pytest.mark.parametrize("width", [40, 60, 79, 80, 100, 120, 200])
def test_results_fit_every_width(width):
    shown = check(["metric", "value", "real", ""], RESULTS, width)
    if width >= 60:  # a value stands in the line of its metric
        assert any(re.search(r"^kernel distance .*0\.05626 ± 0\.02 +-0\.008278", line) for line in shown)
    under = any(line.strip() == "20 draws of 180" for line in shown)
    assert under == (width < 100)  # notes stand at the side where there is room


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_groups_have_headings_and_their_lines_are_indented(width):
    lines = [*RESULTS, ["another name", "1", "2", ""]]
    shown = printed(
        ScreenTable(None, ["metric", "value", "real", ""], lines, heads={0: "first", 3: "second group"}), width
    )
    assert max(map(len, shown)) <= width
    outside = [line for line in shown if line and not line.startswith("  ")]
    assert set(outside) == {"first", "second group"} and shown[shown.index("second group") - 1] == ""
    at = [next(k for k, line in enumerate(shown) if word in line) for word in ("kernel", "second", "peak", "another")]
    assert at == sorted(at)
    assert all(value in "\n".join(shown) for line in lines for value in line[1:3])


def test_a_note_stands_once_below_several_lines_of_a_group_that_have_it():
    lines = [[name, "1", "n" * 30] for name in "abcd"]

    def firsts(heads: dict[int, str], width: int) -> str:
        shown = printed(ScreenTable(None, ["x", "y", ""], lines, heads=heads), width)[1:]
        return re.sub("n+", "n", "".join(line.split()[0][:1] for line in shown if line))

    assert firsts({0: "e"}, 26) == "eabcdn"
    assert firsts({0: "e", 2: "f"}, 26) == "eabnfcdn"  # but not for another group
    assert firsts({}, 24) == "anbncndn"  # and not in a table without groups


def test_many_columns_are_shown_below_each_other_with_the_names_again():
    shown = check(OF_GROUPS, GROUPS, 80, keys=2)
    heads = [line for line in shown if line.startswith("model")]
    assert len(heads) > 1 and all(head.split()[:2] == ["model", "lr"] for head in heads)
    assert sum(line.startswith("vae") for line in shown) == len(heads) * len(GROUPS)
    assert [line for line in check(OF_GROUPS, GROUPS, 160, keys=2) if line.startswith("model")] != heads  # one table


def test_any_table_fits():
    chosen = random.Random(0)
    for _ in range(150):
        columns, width = chosen.randint(2, 9), chosen.randint(40, 130)
        word = lambda least, most: "".join(chosen.choices("abcé[]/", k=chosen.randint(least, most)))  # noqa: E731
        lines = [
            [
                " ".join(word(1, 12) for _ in range(chosen.randint(1, 5))),
                *(f"{chosen.gauss(0, 10 ** chosen.randint(0, 6)):.4g}" for _ in range(columns - 2)),
                " ".join(word(1, 9) for _ in range(chosen.randint(0, 12))),
            ]
            for _ in range(4)
        ]
        check(["name", *(word(3, 12) for _ in range(columns - 2)), ""], lines, width)


def test_a_job_is_one_line_where_it_fits_and_whole_where_it_does_not():
    jobs = [("model=vae seed=0", "/scratch/somebody/projects/outputs/vae-digits/3f9a21c4", "done")]
    jobs.append(("model=[a] seed=1", "", "cannot run: model.optimizer.lr: expected a number, got 'fast'"))
    wide = printed(JobTable(jobs), 160)
    assert len(wide) == 3 and wide[0].split() == ["job", "run", "state"]
    narrow = printed(JobTable(jobs), 80)
    assert narrow[:3] == ["model=vae seed=0", f"  {jobs[0][1]}", "  done"] and narrow[3] == "model=[a] seed=1"
    folded = printed(JobTable(jobs), 40)
    assert max(map(len, folded)) <= 40 and jobs[0][1] in "".join(line.strip() for line in folded)
