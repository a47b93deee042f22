"""Images of chosen classes from an unconditional run: drawn, looked at, kept in the order asked for; or given up in one line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, genrun
from omegaconf import OmegaConf
from rich.console import Console
from torch import nn

from genrun.config.compose import compose
from genrun.errors import Failed
from genrun.evaluation.features import Space
from genrun.evaluation.rejection import CHUNK, draw_classes, recognised
from genrun.inference import seeded
from genrun.methods.method import Method
from genrun.run import run

NAMES = ("none", "half", "full", "never")
QUIET = Console(quiet=True)


class Greys(Method):
    """Images of one grey each, 0, 0.5 or 1, with a little noise; counts the draws."""

    def __init__(self) -> None:
        super().__init__((1, 8, 8), 0)
        self.draws = 0

    def sample(self, n, labels=None, *, generator=None):
        self.check_labels(n, labels)
        self.draws += n
        which = torch.randint(3, (n, 1, 1, 1), generator=generator) / 2
        return (which + 0.2 * torch.rand((n, 1, 1, 1), generator=generator)).clamp(0, 1).expand(n, 1, 8, 8)


class Looks(nn.Module):
    """Takes an image for the grey that it is nearest to, the surer the nearer."""

    num_features = 1

    def features(self, images):
        return images.mean((1, 2, 3))[:, None]

    def head(self, features):
        return -200 * (features - torch.tensor([0.0, 0.5, 1.0, 9.0])) ** 2


@pytest.fixture
def looks() -> Space:
    return Space("looks", Looks(), torch.device("cpu"))


def test_the_classifier_says_what_and_how_sure(looks):
    images = torch.tensor([0, 128, 255, 64], dtype=torch.uint8)[:, None, None, None].expand(4, 1, 8, 8)
    which, sure = recognised(looks, images)
    assert which.tolist() in ([0, 1, 2, 0], [0, 1, 2, 1]) and (sure[:3] > 0.999).all() and sure[3] < 0.9


def test_every_label_is_served_in_order_by_the_first_that_are_sure(looks):
    method, labels = Greys(), [2, 0, 2, 1, 0]
    kept = draw_classes(method, labels, looks, NAMES, QUIET, seed=3, confidence=0.999)
    assert (
        kept.images.shape == (5, 1, 8, 8) and kept.drawn == method.draws == CHUNK and (kept.confidences >= 0.999).all()
    )
    drawn = Greys().sample(CHUNK, generator=seeded(3, 0))
    which, sure = recognised(looks, (drawn * 255).round().to(torch.uint8))
    for label in (0, 1, 2):
        first = drawn[(which == label) & (sure >= 0.999)][: labels.count(label)]
        assert torch.equal(kept.images[torch.tensor(labels) == label], first)
    again = draw_classes(Greys(), labels, looks, NAMES, QUIET, seed=3, confidence=0.999)
    assert torch.equal(kept.images, again.images) and torch.equal(kept.confidences, again.confidences)
    assert not torch.equal(kept.images, draw_classes(Greys(), labels, looks, NAMES, QUIET, seed=4).images)


def test_it_goes_on_until_all_are_served(looks):
    kept = draw_classes(Greys(), [1] * 150, looks, NAMES, QUIET)
    assert len(kept.images) == 150 and kept.drawn > 3 * CHUNK and kept.drawn % CHUNK == 0


def test_a_class_that_does_not_come_is_named_after_the_last_draw(looks):
    method = Greys()
    with pytest.raises(
        Failed, match=r"given up after 5,000 draws: .* at least 0.995 .* class never \(0 of 2\); try a"
    ) as caught:
        draw_classes(method, [3, 0, 3], looks, NAMES, QUIET)
    assert method.draws == 5000 and "\n" not in str(caught.value) and caught.value.status == 1
    with pytest.raises(Failed, match="given up after 6,000 draws"):
        draw_classes(method, [3] * 30, looks, NAMES, QUIET)


# ------------------------------------------------------------------------------------------------------------- the verb


CLASSIFIER = ("evaluation.classifier.steps=150", "evaluation.classifier.network.width=6")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("outputs")


def finished(outputs: Path, name: str, *overrides: str) -> Path:
    every = [*TINY, f"paths.outputs={outputs}", f"run.name={name}", *overrides]
    return run(compose(every), every, Console(quiet=True)).path


@pytest.fixture(scope="module")
def unconditional(outputs) -> Path:
    """A finished run of CSGM that knows no labels, on data that has some."""
    return finished(
        outputs,
        "it",
        "evaluation=quick",
        "evaluation.epoch_samples=0",
        *CLASSIFIER,
        "sample.n=140",
        "model.num_classes=0",
    )


def test_an_unconditional_run_draws_and_sorts_and_says_so(unconditional, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in unconditional.rglob("*") if path.is_file()}
    which = most_drawn(unconditional)
    asked = ["sample", str(unconditional), "--labels", f"{which},{which}", "--confidence", "0.15", "--n", "3"]
    for name in ("a.npz", "b.npz", "c.png"):
        assert genrun(*asked, "--out", name, monkeypatch=monkeypatch) == 0
        said = capsys.readouterr().out
        pattern = (
            r"an unconditional run: drew [\d,]+ images for 3, each taken .* reference classifier .* 0\.\d{4} at least\n"
        )
        assert re.search(pattern + name, said), said
    a, b = np.load("a.npz"), np.load("b.npz")
    assert a["images"].shape == (3, 8, 8, 1) and a["labels"].tolist() == [which] * 3
    assert np.array_equal(a["images"], b["images"])
    assert before == {path: path.read_bytes() for path in unconditional.rglob("*") if path.is_file()}


def most_drawn(folder: Path) -> int:
    """The class that the run's classifier sees most often in its samples."""
    from genrun.runs.open import open_run
    from genrun.verbs.sample import sorting_judge

    opened = open_run(folder)
    judge = sorting_judge(opened, QUIET, trust=False)
    images = torch.from_numpy(opened.samples()[0]).permute(0, 3, 1, 2)
    return int(recognised(judge.classifier, images)[0].bincount().argmax())


def test_what_cannot_be_sorted_is_refused_in_one_line(unconditional, outputs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)
    np.savez("plain.npz", images=images)
    plain = finished(outputs, "plain", "data=npz", "data.source.path=plain.npz", "data.validation=0")
    conditional = finished(outputs, "conditional")
    evil = tmp_path / "evil"
    evil.mkdir()
    for name in ("model.safetensors", "status.json"):
        (evil / name).write_bytes((unconditional / name).read_bytes())
    config = OmegaConf.load(unconditional / "config.yaml")
    config.evaluation.classifier.network = {"_target_": "os.system", "_partial_": True}
    OmegaConf.save(config, evil / "config.yaml")
    before = sorted(tmp_path.rglob("*"))
    for folder, options, line in (
        (unconditional, ["--labels", "10"], r"--labels: there is no class '10'; the classes are 0, 1"),
        (unconditional, ["--labels", "-1,2"], r"expected one argument|there is no class '-1'"),
        (unconditional, ["--labels", "2", "--resolution", "20"], r"--resolution: .* leave one out"),
        (
            unconditional,
            ["--labels", "2", "--confidence", "1.5"],
            r"--confidence: expected more than 0 and at most 1, got 1.5",
        ),
        (unconditional, ["--confidence", "0.9"], r"--confidence: is for --labels of an unconditional run"),
        (
            conditional,
            ["--labels", "2", "--confidence", "0.9"],
            r"--confidence: is for --labels of an unconditional run",
        ),
        (plain, ["--labels", "2"], r"its data has no classes to sort its images by"),
        (evil, ["--labels", "2"], r"evaluation.classifier.network._target_=os.system: expected a class of .*--trust"),
    ):
        assert genrun("sample", str(folder), *options, monkeypatch=monkeypatch) == 2
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1 and re.search(line, printed.err), printed.err
        assert printed.out == "" and sorted(tmp_path.rglob("*")) == before


def test_a_run_that_was_not_judged_is_sorted_by_the_classifier_of_its_data(outputs, tmp_path, monkeypatch):
    from genrun.runs.open import open_run
    from genrun.verbs.sample import sorting_judge

    judge = sorting_judge(open_run(finished(outputs, "unjudged", "model.num_classes=0")), QUIET, trust=False)
    assert judge.recipe.steps == 3000 and judge.facts.num_classes == 10
