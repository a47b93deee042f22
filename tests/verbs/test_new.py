"""docs/methods.md, followed as it stands, and what a method of one's own may get wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import genrun

from genrun.errors import Refused
from genrun.verbs import new

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "methods.md").read_text()
SHORT = ("data=digits", "data.limit=200", "trainer.max_epochs=2", "sample.n=20", "evaluation=none")


@pytest.fixture
def own(here, monkeypatch) -> str:
    """A module with classes of one's own in the current folder, and a folder conf/: the module's name, another in each test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"own_{here.parent.name}_{here.name}".replace("-", "_")
    Path(f"{name}.py").write_text(CLASSES)
    Path("conf/model").mkdir(parents=True)
    return name


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def script(*arguments: str, before: str = "pass") -> subprocess.CompletedProcess:
    """The installed script in a process of its own: it does not put the current folder on Python's path as `python -m` does."""
    code = f"import sys; sys.path = [path for path in sys.path if path]; {before}; from genrun.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_the_page_shows_the_files_that_the_verb_writes(here, capsys):
    assert new.main(["method", "blurry"]) == 0
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (yaml,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    assert Path("blurry.py").read_text() == code and Path("conf/model/blurry.yaml").read_text() == yaml
    assert len(code.splitlines()) + len(yaml.splitlines()) < 60
    assert "genrun --config-dir conf model=blurry data=digits" in capsys.readouterr().out


@pytest.mark.slow
def test_the_page_can_be_followed(here):
    """Its commands as a reader would give them, on little data: new, train, sweep, sample."""
    assert script("new", "method", "blurry").returncode == 0
    trained = script("--config-dir", "conf", "model=blurry", *SHORT)
    assert trained.returncode == 0, trained.stderr
    (run,) = (here / "outputs" / "blurry-digits").iterdir()
    swept = script("--config-dir", "conf", "-m", "model=blurry", *SHORT, "seed=0,1")
    assert swept.returncode == 0 and "was done before" in swept.stdout, swept.stdout + swept.stderr
    drawn = script("sample", str(run), "--labels", "2,3", "--trust", "--out", "few.npz")
    assert drawn.returncode == 0, drawn.stderr
    assert np.load("few.npz")["labels"].tolist() == [2, 3]
    for verb in (["sample", str(run)], ["refit", str(run), "model/prior=gaussian"], ["evaluate", str(run)]):
        refused = script(*verb, before="sys.modules['torch'] = None")  # an import of it raises
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1, refused.stderr
        assert "model._target_=blurry.Blurry" in refused.stderr and "--trust" in refused.stderr


# -------------------------------------------------------------------------------------------------- what goes wrong


CLASSES = """
import pytorch_lightning as pl
import torch
from genrun.maths.samplers import Euler
from genrun.methods import Method


class Plain(pl.LightningModule):
    def __init__(self, width: int) -> None:
        super().__init__()


class Mute(Method):
    def training_step(self, batch, _): ...
    def configure_optimizers(self): ...


class Hurried(Method):
    def __init__(self, image_shape, num_classes) -> None:
        pl.LightningModule.__init__(self)
    def training_step(self, batch, _): ...
    def configure_optimizers(self): ...
    def sample(self, n, labels=None, *, generator=None): ...


class Hasty(Hurried):
    def __init__(self, image_shape, num_classes) -> None:
        self.mean = torch.zeros(self.image_shape)


class Silent(Method):
    def __init__(self, image_shape, num_classes) -> None:
        super().__init__(image_shape, num_classes)
        self.mean = torch.nn.Parameter(torch.zeros(self.image_shape))
    def training_step(self, batch, _):
        return (batch.image - self.mean).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)
    def sample(self, n, labels=None, *, generator=None):
        return self.mean.detach().clamp(0, 1).expand(n, *self.image_shape)


class Narrow(Silent):
    def sample(self, n, labels=None, *, generator=None):
        pass


class Counter(pl.Callback):
    def __init__(self, every: int = 1) -> None:
        self.every = every
    def on_train_epoch_end(self, trainer, method) -> None:
        print("counted", trainer.current_epoch // self.every)


class Slow(Euler):
    pass
"""


@pytest.mark.parametrize(
    ("yaml", "line"),
    [
        (
            "_target_: own.Plain\n  width: 3",
            "expected a subclass of genrun.methods.Method, got Plain; it needs sample and",
        ),
        (
            "_target_: own.Mute\n  image_shape: [1, 8, 8]\n  num_classes: 10",
            "Mute has no sample of its own; it needs sample",
        ),
        (
            "_target_: own.Hurried\n  image_shape: [1, 8, 8]\n  num_classes: 10",
            "expected a genrun.methods.Method that has called super().__init__(image_shape, num_classes), got Hurried",
        ),
        (
            "_target_: own.Silent\n  num_classes: 0",
            "its YAML lacks image_shape; write image_shape: ${data.facts.image_shape}",
        ),
        (
            "_target_: own.Hasty\n  image_shape: [1, 8, 8]\n  num_classes: 10",
            "'Hasty' object has no attribute 'image_shape' (a method calls super().__init__(image_shape, num_classes) before",
        ),
        ("_target_: own.Absent", "own has no Absent"),
        ("_target_: absent.Own", "No module named 'absent'"),
        ("width: 3", "its YAML names no class: expected model._target_"),
    ],
)
def test_what_is_no_method_is_one_line(yaml, line, own, monkeypatch, capsys):
    Path("conf/model/mine.yaml").write_text(f"# @package _global_\nmodel:\n  {yaml.replace('own.', own + '.')}\n")
    assert genrun("--config-dir", "conf", "model=mine", *SHORT, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and line.replace("own ", f"{own} ") in error and "model" in error


def test_a_callback_and_a_group_of_ones_own(own, here, monkeypatch, capsys):
    Path("conf/model/sampler").mkdir()
    Path("conf/model/sampler/mine.yaml").write_text(f"_target_: {own}.Slow\nsteps: 3\n")
    options = ["model=flow_matching", *SHORT, "model.network.widths=[8,8]"]
    callback = f"+callbacks.watching.mine._target_={own}.Counter"
    assert genrun("--config-dir", "conf", *options, callback, monkeypatch=monkeypatch) == 0
    assert "counted 1" in capsys.readouterr().out
    (run,) = (here / "outputs" / "flow_matching-digits").iterdir()
    for words, line in (
        (["model/sampler=mine"], "--config-dir adds your own"),
        (["--config-dir", "nowhere"], "--config-dir nowhere: no such folder"),
        (["model/sampler=mine", "--config-dir", "conf"], f"model.sampler._target_={own}.Slow"),
    ):
        assert genrun("sample", str(run), *words, monkeypatch=monkeypatch) == 2
        assert line in capsys.readouterr().err
    words = ["model/sampler=mine", "--config-dir", "conf", "--trust", "--n", "4"]
    assert genrun("sample", str(run), *words, monkeypatch=monkeypatch) == 0
    assert Path("samples.png").is_file()


def test_a_method_that_tells_nothing_of_its_training_is_run_to_its_end(own, here, monkeypatch):
    yaml = f"_target_: {own}.Silent\n  image_shape: ${{data.facts.image_shape}}\n  num_classes: 0"
    Path("conf/model/mine.yaml").write_text(f"# @package _global_\nmodel:\n  {yaml}\n")
    assert genrun("--config-dir", "conf", "model=mine", *SHORT, monkeypatch=monkeypatch) == 0
    (run,) = (here / "outputs" / "mine-digits").iterdir()
    assert not (run / "figures" / "curves.png").exists() and (run / "samples" / "final.png").exists()


def test_samples_of_another_shape_are_said_in_the_words_of_the_method(own, monkeypatch, capsys):
    yaml = f"_target_: {own}.Narrow\n  image_shape: ${{data.facts.image_shape}}\n  num_classes: 0"
    Path("conf/model/mine.yaml").write_text(f"# @package _global_\nmodel:\n  {yaml}\n")
    assert genrun("--config-dir", "conf", "model=mine", *SHORT, monkeypatch=monkeypatch) == 1
    assert "Narrow.sample(100): expected images of shape (100, 1, 8, 8), got NoneType" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ genrun new


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["method", "vae"], "vae is a model of genrun's"),
        (["method", "random"], "random is the name of a module that Python has already"),
        (["method", "My-Method"], "expected a name of lower-case letters"),
        (["methd", "mine"], r"expected method \(did you mean 'method'\?\)"),
    ],
)
def test_a_name_that_cannot_be_is_refused(words, line, here):
    with pytest.raises(Refused, match=line):
        new.main(words)
    assert not any(here.iterdir())


def test_nothing_is_overwritten(here):
    new.main(["method", "mine", "--config-dir", "own"])
    before = Path("mine.py").read_text()
    with pytest.raises(Refused, match=r"mine.py exists already"):
        new.main(["method", "mine"])
    assert Path("mine.py").read_text() == before and not Path("conf").exists()
