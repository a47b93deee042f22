"""The files of expectations: read, checked, and those of the package in order."""

from __future__ import annotations

import copy

import pytest
import yaml
from conftest import ROOT

from genrun.errors import Refused
from genrun.report.expectation_file import read_expectations, targets
from genrun.report.expectations import Claim, Number, Quantity, Untested

GOOD = {
    "document": "A document (Author, 2020)",
    "runs": {
        "small": {"words": ["model=vae"], "seeds": [0, 1], "minutes": 2},
        "other": {"words": ["model/prior=gaussian"], "refits": "small", "seeds": [0], "minutes": 1},
        "paper": {"words": ["model=vae_paper"], "seeds": [0], "minutes": 90, "on_request": "an hour and a half"},
    },
    "rows": [
        {"number": "distance", "source": "table 1", "run": "small", "metric": "recall", "values": [0.5, 0.7]},
        {
            "claim": "More is better.",
            "source": "section 2",
            "left": {"run": "small", "metric": "recall"},
            "relation": "above",
            "right": {"run": "other"},
            "expected": "held",
        },
        {"claim": "It is nice.", "source": "section 3", "untested": "A matter of taste."},
    ],
    "figures": [{"source": "figure 1", "shows": "digits", "run": "small", "file": "samples/final.png"}],
    "miniature": ["data=digits"],
}


def written(tmp_path, change=lambda content: None):
    content = copy.deepcopy(GOOD)
    change(content)
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    return str(file)


def test_a_file_is_read(tmp_path):
    found = read_expectations(written(tmp_path))
    assert found.name == "mine"
    assert found.minutes() == 5  # two seeds of two minutes and a refit; the last run is on request
    number, claim, untested = found.rows
    assert number == Number("distance", "table 1", Quantity("small", "recall"), (0.5, 0.7))
    assert isinstance(claim, Claim)
    assert (claim.right, claim.below, claim.factor, claim.margin, claim.expected) == (
        *(Quantity("other", "recall"), False, 1.0, 0.0, True),
    )
    assert untested == Untested("It is nice.", "section 3", "A matter of taste.")


def test_every_word_of_a_row_is_read(tmp_path):
    texts = {"published": "0.6", "differs": "Fewer seeds."}

    def change(content):
        for row in content["rows"]:
            row.update(texts if "untested" in row else {**texts, "of_machine": True})

    for row in read_expectations(written(tmp_path, change)).rows:
        assert (row.published, row.differs) == ("0.6", "Fewer seeds.")
        assert isinstance(row, Untested) or row.of_machine


WRONG = {
    "no such target": None,
    r"rows.0.run: no run smal \(did you mean 'small'\?\)": lambda c: c["rows"][0].update(run="smal"),
    "rows.0.values: expected one for each seed": lambda c: c["rows"][0].update(values=[1.0]),
    r"rows.0.publishd: no such key \(did you mean 'published'\?\)": lambda c: c["rows"][0].update(publishd="x"),
    "rows.1.relation: expected below or above": lambda c: c["rows"][1].update(relation="<"),
    "rows.1.expected: expected held or did not hold": lambda c: c["rows"][1].update(expected="yes"),
    "rows.1.left.metric is missing": lambda c: c["rows"][1]["left"].pop("metric"),
    "rows.2: expected one of number, relation, untested": lambda c: c["rows"][2].pop("untested"),
    "runs.other.refits: expected a run that is trained, got paper2": lambda c: c["runs"]["other"].update(
        refits="paper2"
    ),
    "runs.other.seeds: expected seeds of small": lambda c: c["runs"]["other"].update(seeds=[3]),
    "runs.small.seed: no such key": lambda c: c["runs"]["small"].update(seed=1),
    "figures.0.file: expected samples": lambda c: c["figures"][0].update(file="../secret.png"),
    "rows.0.values: expected finite": lambda c: c["rows"][0].update(values=[1.0, float("nan")]),
    "rows.1.factor: expected above 0": lambda c: c["rows"][1].update(factor=0),
    r"it.figure: no such key \(did you mean 'figures'\?\)": lambda c: c.update(figure=[]),
    "runs: expected one that is trained": lambda c: c["runs"]["small"].update(on_request="long"),
    "runs.other.on_request is missing": lambda c: c["runs"].update(
        more={"words": [], "seeds": [0], "minutes": 1}, small={**c["runs"]["small"], "on_request": "long"}
    ),
    "integer|int too large": lambda c: c["rows"][0].update(values=[10**400, 1]),
    "runs.small.minutes: expected": lambda c: c["runs"]["small"].update(minutes="two"),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_file_is_refused_in_one_line(message, tmp_path):
    change = WRONG[message]
    name = "mine" if change is None else written(tmp_path, change)
    with pytest.raises(Refused, match=message) as error:
        read_expectations(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", targets())
def test_the_targets_of_the_package(name):
    found = read_expectations(name)
    assert targets()[name].read_text().startswith("# ")  # its source
    assert all(row.text and row.source for row in found.rows)
    assert all(run.minutes > 0 for run in found.runs.values())


def test_the_makefile_has_every_target():
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("REPRODUCTIONS := ")]
    assert line.split()[2:] == list(targets())
