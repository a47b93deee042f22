"""Rows in groups: every metric of the judge and of the methods has one, and its name fits the screen."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

import genrun
from genrun.evaluation.rows.combinations import SHOWN
from genrun.evaluation.rows.comparison import Comparison
from genrun.evaluation.rows.feature_likelihood import DIVERGENCE, GAP
from genrun.report.groups import GROUPS, METHOD, group_of, groups, not_measured, short_name
from genrun.report.tables import show_results

SPACES = (
    *("observer", "robust classifier", "random", "Inception", "classifier"),
    *("observer, binarised", "robust classifier, binarised", "random, binarised", "classifier, binarised"),
)
OF_METHODS = ("d on stored codes", "d on fresh codes", "my own metric", "density of my codes", "precisions")
COMPARED = Comparison(5, 20, 1000, True, 0).metric_names()
# names of rows that are written out in the code of the rows and of the judge
WRITTEN = {
    "label accuracy",
    "reference classifier, accuracy",
    "variety within a class",
    "class entropy",
    "inception score",
    "train on generated, test on real",
    "train on real, test on generated",
    "samples with a grey background",
    "independent samples",
    "samples with a twin",
    "blurred samples",
    "sliced Wasserstein distance",
    "nearest-neighbour ratio",
    "authenticity",
    "copying statistic C_T",
    "mixed training, accuracy",
    "own classifier, accuracy",
    "linear probe of codes, accuracy",
    "code sparsity",
    "class separation, two components",
    "bits per dimension",
    "bits per dimension, upper bound",
    "log-likelihood, nats",
    "log-likelihood, lower bound, nats",
    "log-likelihood, bound by 5,000 samples, nats",
    "reconstruction, mean squared error",
    "reconstruction, mean absolute error",
    "reconstruction, SSIM",
    "reconstruction: Fréchet distance to test (observer)",
    "combinations of codes",
    "log Z, nats",
    "log Z, standard error",
    "training, s",
    "sampling, s",
    "peak memory, GiB",
    "parameters",
}
NAMES = [
    *WRITTEN,
    *(f"{name} ({space})" for name in COMPARED for space in SPACES),
    *(f"{name} (binarised)" for name in ("nearest-neighbour ratio", "authenticity", "copying statistic C_T")),
    *(f"fitted particles: {name} ({space})" for name in COMPARED for space in ("observer", "classifier")),
    *(f"{name} ({space})" for name in (DIVERGENCE, GAP) for space in SPACES),
    "fitted particles: label accuracy",
    *(f"{setting}: {metric}" for setting, metrics in SHOWN.items() for metric in metrics),
]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_metric_has_a_group(name):
    assert group_of(name) in GROUPS


def test_no_row_of_the_code_is_forgotten_here():
    root = Path(genrun.__file__).parent / "evaluation"
    texts = "".join(file.read_text() for file in [root / "judge.py", *(root / "rows").glob("*.py")])
    names = set(re.findall(r'\b[Rr]ow\(\s*"([^"]+)"', texts))
    assert len(names) > 15 and names <= set(NAMES) | {"Fréchet distance (Inception)"}


@pytest.mark.parametrize("name", sorted(OF_METHODS))
def test_metrics_of_a_method_come_last(name):
    rows = [{"name": each, "value": 1.0, "note": ""} for each in (name, "training, s", "label accuracy")]
    assert [(group.name, [row["name"] for row in group.rows]) for group in groups(rows)] == [
        ("fidelity", ["label accuracy"]),
        ("cost", ["training, s"]),
        (METHOD, [name]),
    ]


def test_every_row_is_in_one_group_or_not_measured_in_its_order():
    rows = [{"name": name, "value": None if k % 5 == 0 else k, "note": f"why {k % 2}"} for k, name in enumerate(NAMES)]
    shown = [row for group in groups(rows) for row in group.rows]
    assert sorted(row["value"] for row in shown) == [row["value"] for row in rows if row["value"] is not None]
    assert all([*map(rows.index, group.rows)] == sorted(map(rows.index, group.rows)) for group in groups(rows))
    lines = not_measured(rows)
    assert len(lines) == 2 and all(line.startswith("not measured: ") for line in lines)
    assert all(any(row["name"] in line for line in lines) for row in rows if row["value"] is None)


def test_names_within_a_group_stay_different():
    for group in groups([{"name": name, "value": 1, "note": ""} for name in NAMES]):
        short = [short_name(row["name"]) for row in group.rows]
        assert len(set(short)) == len(short), group.name


def test_no_name_is_folded_at_80_columns():
    rows = [
        {"name": name, "value": -0.000757, "spread": 0.000194, "floor": -0.0000542, "best": "low", "note": "a note"}
        for name in NAMES
    ]
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    show_results({"title": "x", "rows": rows}, console)
    shown = console.file.getvalue().splitlines()
    assert max(map(len, shown)) <= 80
    for name in NAMES:
        assert any(line.startswith(f"  {short_name(name)} ↓  ") for line in shown), name
