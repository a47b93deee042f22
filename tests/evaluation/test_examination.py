"""The judge's distances agree with the eye: criteria of the examination, on digits, and slowly on larger data."""

from __future__ import annotations

import pytest
from helpers.judge import make_judge
from rich.console import Console

from genrun.config.compose import compose
from genrun.errors import Refused
from genrun.evaluation.examination import (
    REAL,
    Seen,
    criteria_lines,
    examination_lines,
    examined,
    failures,
    loses_variety,
)
from genrun.evaluation.metrics.neighbours import Manifold
from genrun.parts import build_data, build_judge
from genrun.verbs.judges import make_judge as judge_of_data

RISES, ORDER = "every ladder rises", "all that is plain is worse than all that is invisible"
INVISIBLE, PLAIN = "invisible: at most 2 × the floor", "plain: at least 10 × the floor"


@pytest.fixture(scope="module")
def digits() -> list[Seen]:
    small = ("evaluation.observer.steps=300", "evaluation.observer.network.width=12", "evaluation.random=false")
    few = ("evaluation.classifier.steps=150", "evaluation.classifier.network.width=6")
    return list(
        examined(judge_of_data(compose(["data=digits", "data.validation=400", *small, *few]), Console(quiet=True)))
    )


def test_the_observer_sees_on_digits_what_a_person_sees(digits):
    failed = failures(digits, "observer")
    assert failed[RISES] == [] and failed[INVISIBLE] == [] and failed[ORDER] == []
    assert failed["wrong labels lower the label accuracy"] == []
    # 360 test images have so large a floor that little is ten times as far: the steps of the worst damage must be
    seen = {(step.ladder, step.amount): step.distances["observer"] / digits[0].distances["observer"] for step in digits}
    last = {ladder: seen[ladder, amount] for ladder, amount in seen}
    for ladder in ("blur", "contrast", "warp", "hole", "thinner strokes", "thicker strokes", "shift"):
        assert last[ladder] > 10, (ladder, last[ladder])
    for ladder in ("fog, even", "fog, floor", "fog, soft", "grain", "salt", "overlaid"):
        assert last[ladder] > 4, (ladder, last[ladder])


def test_the_tables_have_a_line_for_each_step_and_criterion(digits):
    headings, lines = examination_lines(digits, ["observer"])
    assert len(lines) == len(digits) and lines[0][:4] == [REAL, "", "", "1"]
    assert all(len(line) == len(headings) for line in lines)
    headings, lines = criteria_lines(digits, ["observer"])
    assert headings == ["criterion", "observer"] and [RISES, "passed"] in lines and len(lines) == 7


def test_too_few_images_are_refused_at_once(shapes):
    judge = make_judge(shapes, "evaluation=quick", "data.validation=100")
    with pytest.raises(Refused, match=r"needs more than 128 held-out images, as many as features, got 100"):
        next(examined(judge))


def test_each_criterion_names_the_steps_that_fail_it():
    good, spread = Manifold(0.9, 0.9, 1.0, 0.9, 0.9, 0.9), Manifold(0.9, 0.5, 1.0, 0.5, 0.9, 0.5)

    def step(ladder, spoils, amount, mark, distance, neighbours=good, accuracy=0.9) -> Seen:
        return Seen(ladder, spoils, amount, mark, {"s": distance}, {"s": neighbours}, accuracy)

    steps = [
        step(REAL, "", 0, "", 1.0),
        step("fog, even", "image", 0.01, "invisible", 2.5),
        step("fog, even", "image", 0.1, "plain", 30.0),
        step("blur", "image", 0.5, "barely", 5.0),
        step("blur", "image", 1, "plain", 2.0, Manifold(0.5, 0.5, 1.0, 0.5, 0.5, 0.5)),
        step("missing classes", "variety", 1, "plain", 1.0, spread),
        step("copies", "variety", 5, "plain", 1.0),
        step("wrong labels", "labels", 0.1, "plain", 1.0, accuracy=0.8),
        step("wrong labels", "labels", 0.5, "plain", 1.0, accuracy=0.9),
    ]
    assert list(failures(steps, "s").values()) == [
        ["blur"],
        ["fog, even 0.01 (2.5)"],
        ["blur 1 (2.0)"],
        ["blur 1 (2.0)"],
        ["fog, even 0.1 (0.90)"],
        ["copies 5"],
        ["wrong labels 0.5"],
    ]
    assert not loses_variety(Manifold(0.8, 0.5, 1.0, 0.5, 0.8, 0.5), good)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "hidden", "near"),
    [("mnist", [], 8), ("fashion_mnist", [], 8), ("cifar10", ["hole 4"], 13)],  # what fails is in docs/judging.md
)
def test_the_observer_sees_on_large_data_what_a_person_sees(data, hidden, near):
    cfg = compose([f"data={data}", "evaluation.random=false"])
    module = build_data(cfg)
    try:
        module.prepare()
    except Refused as error:
        pytest.skip(f"{data} is not here: {error}")
    cfg.data.facts = module.facts().to_dict()
    failed = failures(list(examined(build_judge(cfg, module, Console(quiet=True)))), "observer")
    assert failed[RISES] == []
    assert [step.rsplit(" ", 1)[0] for step in failed[ORDER]] == hidden
    assert len(failed[INVISIBLE]) <= 1 and len(failed[PLAIN]) <= near
