"""The sentence and the marks: on images for which the right verdict is known, and on rows made by hand."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from rich.console import Console
from torch import Tensor

from genrun.config.compose import compose
from genrun.evaluation.judge import Judge
from genrun.evaluation.table import record
from genrun.report.verdict import mark, verdict
from genrun.verbs.judges import make_judge

# ------------------------------------------------------------------------------------- controls, judged as samples are


@pytest.fixture(scope="module")
def judge() -> Judge:
    words = ["data=digits", "data.validation=400", "evaluation.classifier.steps=150", "evaluation.train_on_generated=0"]
    small = ["evaluation.observer.steps=300", "evaluation.observer.network.width=12", "evaluation.kernel_draws=3"]
    return make_judge(compose([*words, *small]), Console(quiet=True))


def controls(judge: Judge) -> dict[str, tuple[Tensor, Tensor | None, str]]:
    """Images (n, 1, 8, 8), their labels and the beginning of the right sentence."""
    unseen, seen = (judge.real.images(split, 400).decoded() for split in ("validation", "train"))
    images, labels, generator = unseen.array, unseen.labels, torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, images.shape, generator=generator, dtype=torch.uint8)
    noisy = (seen.array / 255 + 0.05 * torch.randn(seen.array.shape, generator=generator)).clamp(0, 1).mul(255).byte()
    mixed = torch.cat([seen.array[:200], images[:200]]), torch.cat([seen.labels[:200], labels[:200]])
    half, clean = labels < 5, "clean digits, all the variety of real ones"
    one_each = torch.stack([(labels == k).nonzero()[0, 0] for k in range(10)]).repeat(40)
    return {
        "real": (images, labels, f"{clean}, not copied"),
        "real, without labels": (images, None, f"{clean}, not copied"),
        "copies": (seen.array, seen.labels, f"{clean}, copied"),
        "copies with noise": (
            noisy,
            seen.labels,
            "well-shaped digits, 66 % on a faintly grey background, all the variety of real ones, copied",
        ),
        "half copies": (*mixed, f"{clean}, partly copied"),
        "noise": (noise, labels, "nothing like real digits, not copied"),
        "constant": (
            torch.full_like(images, 80),
            labels,
            "nothing like real digits, 100 % on a grey background, 100 % blurred, not copied",
        ),
        "fog": (images.clamp(min=30), labels, "well-shaped digits, 100 % on a grey background, "),
        "half the classes": (
            images[half],
            labels[half],
            "clean digits, half the variety of real ones, 5 of 10 classes missing, not copied",
        ),
        "one image a class": (
            images[one_each],
            labels[one_each],
            "clean digits, hardly any of the variety of real ones, worth 10 independent ones, 100 % with a twin, not copied",
        ),
        "mistaken": (images, torch.where(labels == 3, 4, labels), f"{clean}, not copied, 1"),
    }


def test_controls_get_the_right_sentence(judge):
    said = {}
    for name, (images, labels, expected) in controls(judge).items():
        said[name] = verdict(record("x on digits, 1234", judge.judge(images, labels), judge))
        said[name] = said[name].replace("digits as good as real ones", "clean digits")  # by chance, where they are real
        assert said[name].startswith(expected), (name, said[name])
    assert said["real, without labels"] == "clean digits, all the variety of real ones, not copied"
    assert said["noise"] == "nothing like real digits, not copied"
    assert " % taken for another class, worst class 4 (" in said["mistaken"]


def test_the_controls_of_the_judge_are_marked(judge):
    unseen = judge.real.images("validation").decoded()
    real = {row.name: mark(row.to_dict()) for row in judge.judge(unseen.array, unseen.labels)}
    assert "bad" not in real.values() and sum(said in ("real", "good") for said in real.values()) > 25
    assert list(real.values()).count("real") > 15
    noise = torch.randint(0, 256, unseen.array.shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    of_noise = {row.name: mark(row.to_dict()) for row in judge.judge(noise, unseen.labels)}
    for name in ("label accuracy", "recall (random)", "Fréchet distance (random)", "kernel distance (random)"):
        assert of_noise[name] == "bad", name


# -------------------------------------------------------------------------------------------------------- rows by hand


def row(name: str, value: object, floor: object = None, best: str = "high", **more: object) -> dict:
    return {"name": name, "value": value, "floor": floor, "best": best, "note": "", **more}


def said(*rows: dict, title: str = "vae on mnist, 1") -> str:
    return verdict({"title": title, "rows": list(rows)})


CSGM = [  # a table of the judge before the observer
    row("reference classifier, accuracy", 0.9955),
    row("label accuracy", 0.9997, 0.9955, note="weakest: 5, 0.998"),
    row("class entropy", 2.303, 2.301, "real", detail=[1000] * 10),
    row("Fréchet distance (classifier)", 0.7433, 0.03277, "low"),
    row("precision (classifier)", 0.9862, 0.9463),
    row("recall (classifier)", 0.3262, 0.9561),
    row("coverage (classifier)", 0.6579, 0.9555),
    row("precision (random)", 0.8834, 0.9463),
    row("recall (random)", 0.2445, 0.9534),
    row("coverage (random)", 0.7524, 0.9511),
    row("authenticity", 0.8694, 0.5828, "real"),
    row("copying statistic C_T", 3.942, -0.5613, "real"),
    row("training, s", 529.4, best=""),
]


def test_the_sentence_of_a_known_method():
    known = "clean digits, a quarter of the variety of real ones, not copied, worst class 5 (99.8 % recognised)"
    assert said(*CSGM) == known
    assert said(*CSGM, title="csgm on fashion_mnist, 1") == known.replace("digits", "images")
    assert said(*CSGM, title="some samples.npz against mnist") == known


def test_less_judged_is_a_shorter_sentence():
    assert said() == said(row("training, s", 3.0, best="")) == said(row("label accuracy", None)) == ""
    quick = [CSGM[0], CSGM[1], CSGM[3]]
    assert said(*quick) == "digits not far from real ones, worst class 5 (99.8 % recognised)"
    assert said(CSGM[3]) == "digits not far from real ones"
    assert (
        said(row("sliced Wasserstein distance", 2, 1, "low"), title="nota on swiss_roll, 1") == "points near real ones"
    )
    assert said(*CSGM[10:]) == "not copied"


def test_a_classifier_near_chance_says_nothing():
    guessing = row("reference classifier, accuracy", 0.12, note="10 test images; near chance: rows say nothing")
    assert said(guessing, *CSGM[1:]) == "clean digits, a quarter of the variety of real ones, not copied"
    assert said(guessing, *CSGM[1:7]) == ""
    renamed = [{**one, "name": one["name"].replace("(classifier)", "(robust classifier)")} for one in CSGM]
    assert said(guessing, *renamed[1:7]) == ""
    binarised = [{**one, "name": one["name"].replace("(classifier)", "(classifier, binarised)")} for one in CSGM]
    assert said(guessing, *binarised[1:7]) == ""


def test_the_observer_speaks_whatever_the_classifier_says():
    guessing = row("reference classifier, accuracy", 0.12, note="10 test images; near chance: rows say nothing")
    observed = row("precision (observer)", 0.68, 0.94), row("recall (observer)", 0.12, 0.95)
    assert said(guessing, *observed) == "rough digits, a tenth of the variety of real ones"
    assert said(*observed, *CSGM[4:6]) == "rough digits, a tenth of the variety of real ones"
    assert said(row("Fréchet distance (observer)", 1.3, 0.019, "low")) == "digits far from real ones"


@pytest.mark.parametrize(
    ("share", "level", "backed", "expected"),
    [
        (0.81, 1.6, 1.0, "81 % on a faintly grey background"),
        (1.0, 25.5, 0.4, "100 % on a grey background"),
        (1.0, 25.5, 0.01, ""),  # hardly any sample has a background
        (0.2, 25.5, 1.0, ""),
    ],
)
def test_flaws_that_many_samples_have_are_named(share, level, backed, expected):
    grey = row("samples with a grey background", share, 0.001, "low", detail=[level, backed])
    precise = row("precision (observer)", 0.9, 0.94, "high")
    shape = "well-shaped digits" if expected else "clean digits"  # what stands in fog is not clean
    assert verdict({"title": "csgm on mnist", "rows": [precise, grey]}) == ", ".join(filter(None, [shape, expected]))
    poor = row("precision (observer)", 0.01, 0.94, "high")
    assert verdict({"title": "csgm on mnist", "rows": [poor, grey]}) == ", ".join(
        filter(None, ["nothing like real digits", expected])
    )
    blurred = row("blurred samples", 0.6, 0.001, "low")
    assert verdict({"title": "", "rows": [precise, blurred]}) == "well-shaped images, 60 % blurred"


@pytest.mark.parametrize(
    ("c_t", "authentic", "expected"),
    [  # docs/autoencoder.md: 50, 250 and 500 Gaussians a class; docs/judging.md: copies, copies with noise
        (-0.54, 0.609, "not copied"),
        (-3.03, 0.481, "partly copied"),
        (-5.2, 0.371, "partly copied"),
        (-14.58, 0, "copied"),
        (-10.97, 0.1162, "copied"),
        (None, 0, "copied"),
        (None, 0.58, "not copied"),
        (-2.956, 0.5624, "not copied"),  # one class only
    ],
)
def test_copying(c_t, authentic, expected):
    rows = row("copying statistic C_T", c_t, -0.56, "real"), row("authenticity", authentic, 0.583, "real")
    assert said(*rows) == expected


def test_binary_samples_are_seen_beside_binarised_images():
    grey = row("precision (random)", 0.0, 0.95), row("authenticity", 1.0, 0.58, "real")
    binary = row("precision (random, binarised)", 0.9, 0.95), row("authenticity (binarised)", 0.0, 0.58, "real")
    assert said(*grey, *binary) == "clean black-and-white digits, copied"


def test_classes_that_are_rare_among_real_images_are_not_missed():
    counts = [500, 499, 1]
    assert said(row("class entropy", 0.7, 1.0986, "real", detail=counts)) == "1 of 3 classes missing"
    assert said(row("class entropy", 0.7, 0.7, "real", detail=counts)) == ""
    assert said(row("class entropy", 0.7, 1.0986, "real", detail=[8, 8, 0])) == ""  # it may be chance


@pytest.mark.parametrize(
    ("name", "value", "floor", "best", "spread", "expected"),
    [
        ("label accuracy", 0.99, 0.9955, "high", None, "good"),
        ("label accuracy", 0.9, 0.9955, "high", None, ""),
        ("label accuracy", 0.7, 0.9955, "high", None, "bad"),
        ("Fréchet distance (classifier)", 0.1, 0.033, "low", None, "good"),
        ("Fréchet distance (classifier)", 0.7, 0.033, "low", None, ""),
        ("Fréchet distance (classifier)", 3.0, 0.033, "low", None, "bad"),
        ("Fréchet distance (observer)", 0.247, 0.019, "low", None, ""),
        ("Fréchet distance (observer)", 1.3, 0.019, "low", None, "bad"),
        ("samples with a grey background", 0.04, 0.0, "low", None, "good"),
        ("samples with a grey background", 0.2, 0.001, "low", None, ""),
        ("samples with a grey background", 0.59, 0.0, "low", None, "bad"),
        ("blurred samples", 0.03, 0.001, "low", None, "good"),
        ("blurred samples", 0.3, 0.001, "low", None, "bad"),
        ("kernel distance (random)", -0.0001, -0.0002, "low", 0.001, "good"),
        ("kernel distance (random)", 0.02, -0.0002, "low", 0.001, "bad"),
        ("kernel distance (random)", 0.02, 0.0, "low", None, ""),
        ("class entropy", 2.3, 2.301, "real", None, "good"),
        ("class entropy", 1.6, 2.301, "real", None, "bad"),
        ("authenticity", 0.1, 0.58, "real", None, "bad"),
        ("authenticity", 0.95, 0.58, "real", None, ""),
        ("copying statistic C_T", -4, -0.56, "real", None, "bad"),
        ("copying statistic C_T", 1, -0.56, "real", None, "good"),
        ("copying statistic C_T", 12, -0.56, "real", None, ""),
        ("variety within a class", 0.5, 1.0, "real", None, "bad"),
        ("my metric", 1.0, 1.0, "real", None, ""),
        ("my metric", 1.0, 1.0, "", None, ""),
        ("recall (random)", 0.9, None, "high", None, ""),
        ("recall (random)", None, 0.9, "high", None, ""),
        ("recall (random)", 0.9, 0.0, "high", None, ""),
        ("recall (random)", "0.9", 0.9, "high", None, ""),
    ],
)
def test_marks(name, value, floor, best, spread, expected):
    assert mark(row(name, value, floor, best, spread=spread)) == expected


@pytest.mark.parametrize(
    ("name", "value", "floor", "best", "spread", "expected"),
    [
        ("Fréchet distance (observer)", 0.0240, 0.0192, "low", 0.0017, "real"),
        ("Fréchet distance (observer)", 0.0250, 0.0192, "low", 0.0017, "good"),
        ("Fréchet distance (observer)", 0.01, 0.0192, "low", 0.0017, "real"),  # better than most draws of real images
        ("recall (random)", 0.9, 0.953, "high", 0.02, "real"),
        ("recall (random)", 0.7, 0.953, "high", 0.02, "bad"),
        ("recall (random)", 0.953, 0.953, "high", None, "good"),
        ("authenticity", 0.60, 0.583, "real", 0.006, "real"),
        ("authenticity", 0.30, 0.583, "real", 0.006, "bad"),
        ("PQMass chi-square (observer)", 190, 171, "low", 8, "real"),
        ("PQMass chi-square (observer)", 300, 171, "low", 8, "good"),
        ("PQMass chi-square (observer)", 3000, 171, "low", 8, "bad"),
        ("feature likelihood divergence (observer)", 0.3, 0.0, "low", 0.12, "real"),
        ("feature likelihood divergence (observer)", 2.7, 0.0, "low", 0.12, ""),
        ("feature likelihood divergence (observer)", 20, 0.0, "low", 0.12, "bad"),
        ("generalisation gap (observer)", -0.3, -0.18, "real", 0.12, "real"),
        ("generalisation gap (observer)", 4, -0.18, "real", 0.12, "good"),  # only copying is bad
        ("generalisation gap (observer)", -60, -0.18, "real", 0.12, "bad"),
        ("samples with a twin", 0.01, 0.0099, "low", 0.001, "real"),
        ("samples with a twin", 0.9, 0.0099, "low", 0.001, "bad"),
        ("independent samples", 0.2, 1.0, "high", None, "bad"),
    ],
)
def test_what_real_images_could_have_cannot_be_told_from_them(name, value, floor, best, spread, expected):
    assert mark(row(name, value, floor, best, floor_spread=spread)) == expected


def test_digits_are_as_good_as_real_ones_if_no_witness_can_tell():
    near = row("Fréchet distance (observer)", 0.020, 0.0192, "low", floor_spread=0.0017)
    precise = row("precision (observer)", 0.942, 0.943, floor_spread=0.001)
    assert said(near, precise) == "digits as good as real ones"
    assert said(near, {**precise, "value": 0.93}) == said(near, {**precise, "floor_spread": None}) == "clean digits"
    other = row("Fréchet distance (random)", 0.02, 0.0035, "low", floor_spread=0.0003)
    assert said(near, precise, other) == "clean digits"
    blurred = row("blurred samples", 0.6, 0.001, "low")
    assert said(near, precise, blurred) == "well-shaped digits, 60 % blurred"


def test_samples_that_depend_on_each_other_are_named():
    precise, copied = row("precision (observer)", 0.93, 0.94), row("authenticity", 0.58, 0.58, "real")
    chains = row("independent samples", 0.12, 1.0, count=10_000), row("samples with a twin", 0.8, 0.01, "low")
    assert said(precise, *chains, copied) == "clean digits, worth 1,200 independent ones, 80 % with a twin, not copied"
    fine = row("independent samples", 1.0, 1.0, count=10_000), row("samples with a twin", 0.04, 0.01, "low")
    assert said(precise, *fine, copied) == "clean digits, not copied"


def test_odd_values_do_no_harm():
    odd = [-5.0, 1e308, float("nan"), float("inf"), "text", True, 0]
    for name in ("precision (random)", "recall (random)", "class entropy", "authenticity", "copying statistic C_T"):
        for value in odd:
            for floor in odd:
                each = row(name, value, floor, "high", spread=value, detail=[value])
                assert isinstance(said(each), str) and mark(each) in ("", "good", "bad")
    label = row("label accuracy", 0.5, 1.0, note="weakest: <script>\x1b[31m, 0.500")
    assert said(label) == "50 % taken for another class, worst class <script>\x1b[31m (50 % recognised)"


def test_nothing_of_torch_is_needed():
    code = "import sys, genrun.report.verdict, genrun.report.tables; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
