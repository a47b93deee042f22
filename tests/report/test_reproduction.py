"""Verdicts on numbers and claims."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from genrun.report.expectations import Claim, Expectations, ExpectedRun, Number, Quantity, Untested
from genrun.report.reproduction import RECORD, Verdicts, command_of, record, summary, value_of
from genrun.report.reproduction_table import markdown_of
from genrun.report.seed_spread import Spread
from genrun.runs.records import check_form

RUNS = {
    "small": ExpectedRun("small", ("model=vae", "model.hidden=[3,2]"), (0, 1, 2), 1),
    "other": ExpectedRun("other", ("model/prior=gaussian",), (0,), 1, refits="small"),
    "paper": ExpectedRun("paper", ("model=vae_paper",), (0,), 90, on_request="an hour and a half"),
}
SMALL = Quantity("small", "distance")
TIGHT = {"distance": Spread(0.01, 10, True)}


def summary_of(value: float | None, floor: float = 0.5, epochs: tuple[float, ...] = ()) -> SimpleNamespace:
    """A finished run with one metric, and a column of metrics.csv."""
    rows = {"distance": {"value": value, "floor": floor}, "without a floor": {"value": 1.0}}
    metrics = [{"epoch": place, "train/loss": loss} for place, loss in enumerate(epochs, 1)]
    return SimpleNamespace(
        rows=rows, folder=SimpleNamespace(metrics=lambda: metrics, path=Path("outputs/vae-digits/abc"))
    )


def verdict(row, small=(1.0, 1.1, 1.2), other=(1.0,), changed=False, spreads=TIGHT):
    runs = {("small", seed): summary_of(value) for seed, value in enumerate(small)}
    runs |= {("other", seed): summary_of(value) for seed, value in enumerate(other)}
    (judged,) = Verdicts(Expectations("mine", "", RUNS, (row,), (), ()), runs, spreads, changed=changed).rows()
    return judged


def number(*values: float, **options) -> Number:
    return Number("distance", "table 1", SMALL, values, **options)


def claim(*, below: bool = True, factor: float = 1.0, margin: float = 0.0, expected: bool = True, **options) -> Claim:
    return Claim(
        "It is less.", "section 1", SMALL, below, Quantity("other", "distance"), factor, margin, expected, **options
    )


@pytest.mark.parametrize(
    ("row", "small", "options", "expected"),
    [
        (number(1.0, 1.1, 1.2), (1.1, 1.1, 1.12), {}, "as expected"),
        (number(1.0, 1.1, 1.2), (1.3, 1.3, 1.3), {}, "outside!"),
        (number(1.0, 1.1, 1.2), (0.9, 0.9, 0.9), {}, "outside!"),
        (number(1.0, 1.1, 1.2), (1.3, 1.3, 1.3), {"spreads": {"distance": Spread(0.2, 10, True)}}, "as expected"),
        (number(1.0, 1.1, 1.2), (1.3, 1.3, 1.3), {"spreads": {"another": Spread(0.01, 10, True)}}, "outside!"),
        (number(1.0, 1.1, 1.2), (3.0, 3.0, 3.0), {"changed": True}, "other settings"),
        (number(1.0, 1.1, 1.2, of_machine=True), (9.0, 9.0, 9.0), {}, "depends on the machine"),
        (number(1.0, 1.1, 1.2), (), {}, "not run"),
        (number(1.0, 1.1, 1.2), (None, None, None), {}, "not measured!"),
        (number(1.0, 1.1, 1.2), (None, None, None), {"changed": True}, "not measured"),
        (number(), (1.0, 1.0, 1.0), {}, "not measured before"),
        (number(2.0, 2.0, 2.0), (2.0, 2.0, 2.0), {"spreads": {}}, "as expected"),
        (number(2.0, 2.0, 2.0), (2.1, 2.0, 2.0), {"spreads": {}}, "outside!"),
    ],
)
def test_the_verdict_on_a_number(row, small, options, expected):
    judged = verdict(row, small, **options)
    assert judged.verdict + "!" * judged.unexpected == expected


@pytest.mark.parametrize(
    ("row", "small", "other", "options", "expected"),
    [
        (claim(), (1.0, 2.0, 1.5), (1.6,), {}, "held"),
        (claim(), (1.0, 2.0, 1.5), (1.2,), {}, "did not hold!"),
        (claim(), (1.5, 1.5, 1.5), (1.49,), {}, "too close to tell"),
        (claim(), (1.5, 1.5, 1.5), (1.2,), {"spreads": {"distance": Spread(0.1, 10, True)}}, "too close to tell"),
        (claim(of_machine=True), (1.0, 2.0, 1.5), (1.2,), {}, "did not hold"),
        (claim(), (1.0, 2.0, 1.5), (1.2,), {"changed": True}, "did not hold"),
        (claim(expected=False), (1.0, 2.0, 1.5), (1.2,), {}, "did not hold"),
        (claim(expected=False), (1.0, 1.0, 1.0), (1.2,), {}, "held!"),
        (claim(below=False), (1.0, 1.0, 1.0), (0.8,), {}, "held"),
        (claim(factor=2), (1.0, 1.0, 1.0), (1.7,), {}, "did not hold!"),
        (claim(factor=2), (1.0, 1.0, 1.0), (2.1,), {}, "held"),
        (claim(below=False, margin=-0.3), (1.0, 1.0, 1.0), (1.25,), {}, "held"),
        (claim(below=False, factor=0.5), (1.0, 1.0, 1.0), (1.9,), {}, "held"),
        (claim(), (), (1.0,), {}, "not run"),
        (claim(), (1.0, 1.0, 1.0), (None,), {}, "not measured!"),
    ],
)
def test_the_verdict_on_a_claim(row, small, other, options, expected):
    judged = verdict(row, small, other, **options)
    assert judged.verdict + "!" * judged.unexpected == expected


def test_what_is_said_of_missing_runs():
    assert verdict(number(), (1.0, 1.2)).got == "1.10 ± 0.14 (2 of 3 seeds)"
    paper = Number("distance", "table 1", Quantity("paper", "distance"), (), differs="A slip.")
    assert verdict(paper).note == "On request: an hour and a half. A slip."
    untested = verdict(Untested("It is nice.", "section 2", "Taste.", "See figure 1.", differs="A slip."))
    assert (untested.verdict, untested.note) == ("cannot be tested here", "Taste. See figure 1. A slip.")


def test_where_a_number_is_found():
    run = summary_of(1.5, epochs=(3.0, 2.0, float("nan")))
    assert value_of(run, SMALL) == 1.5
    assert value_of(run, Quantity("small", "distance", real=True)) == 0.5
    assert value_of(run, Quantity("small", "without a floor", real=True)) is None
    assert value_of(run, Quantity("small", "train/loss", epoch=2)) == 2.0
    assert value_of(run, Quantity("small", "train/loss")) is None  # the last one is no number
    assert value_of(run, Quantity("small", "train/loss", epoch=9)) is None


def test_the_record_and_the_table(tmp_path):
    rows = (number(1.0, 1.1, 1.2), Untested("It is | nice.", "section 2", "Taste."))
    target = Expectations("mine", "A document (Author, 2020)", RUNS, rows, (), ())
    runs = {("small", seed): summary_of(9.0) for seed in range(3)}
    judged = Verdicts(target, runs, TIGHT, changed=False).rows()
    content = record(target, judged, runs, [], tmp_path, changed=False)
    check_form(json.loads(json.dumps(content)), RECORD)
    assert summary(judged) == "1 otherwise than expected: 1 outside, 1 cannot be tested here"
    text = markdown_of(target, judged)
    assert "It is | nice. (section 2)" not in text  # it would end the cell
    assert "1.10, within 0.02" in text  # Student's t of 10 and 0.975, 2.228, times 0.011 √(2 ∕ 3)
    assert command_of(target, "small") == "genrun -m model=vae 'model.hidden=[3,2]' seed=0,1,2"
    assert "`genrun refit RUN model/prior=gaussian` (RUN: each of small)" in text
