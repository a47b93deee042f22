"""Each argument of Lightning's Trainer is passed on, or refused with the word that does it here or the reason."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch
from conftest import ROOT, TINY, genrun
from pytorch_lightning import Trainer

from genrun.config.compose import compose
from genrun.config.schema import check
from genrun.config.trainer_options import PASSED, REFUSED
from genrun.errors import Refused

ARGUMENTS = set(inspect.signature(Trainer.__init__).parameters) - {"self"}


def test_every_argument_of_the_trainer_is_decided_once():
    assert PASSED.keys() | REFUSED.keys() == ARGUMENTS
    assert not PASSED.keys() & REFUSED.keys()


@pytest.mark.parametrize("option", sorted(REFUSED))
def test_an_argument_that_genrun_sets_itself_is_refused_with_its_reason(option):
    for prefix in ("+", "++", ""):  # without a plus Hydra finds no such key: the reason is the same
        with pytest.raises(Refused) as refused:
            check(compose([f"{prefix}trainer.{option}=1"]))
        assert str(refused.value) == f"trainer.{option}: genrun does not pass it on; {REFUSED[option]}"


def test_the_options_that_the_reasons_name_exist():
    cfg = compose([])
    named = {
        name for reason in REFUSED.values() for name in re.findall(r"\b(?:hardware|data|run|sample|paths)\.\w+", reason)
    }
    for name in named:
        section, option = name.split(".")
        assert option in cfg[section], name


@pytest.mark.parametrize(
    ("words", "arrived"),
    [
        ("+trainer.min_epochs=1", lambda trainer: trainer.min_epochs == 1),
        ("+trainer.benchmark=false", lambda trainer: not torch.backends.cudnn.benchmark),
        ("+trainer.detect_anomaly=true", lambda trainer: trainer._detect_anomaly),
        ("+trainer.inference_mode=false", lambda trainer: not trainer.fit_loop.epoch_loop.val_loop.inference_mode),
        ("trainer.limit_val_batches=0", lambda trainer: trainer.limit_val_batches == 0),
        ("trainer.check_val_every_n_epoch=2", lambda trainer: trainer.check_val_every_n_epoch == 2),
        ("trainer.deterministic=warn", lambda trainer: torch.is_deterministic_algorithms_warn_only_enabled()),
    ],
)
def test_what_is_passed_on_arrives(words, arrived, here, monkeypatch):
    seen = []

    def look(context):
        seen.append(arrived(context.trainer))
        raise Refused("seen")

    monkeypatch.setattr("genrun.dry_run.timed_phases", look)
    genrun(*TINY, words, "--dry-run", monkeypatch=monkeypatch)
    assert seen == [True]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch: expected at least 1, got 0"),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val: expected at least 0, got -1"),
        ("trainer.limit_val_batches=-1", "trainer.limit_val_batches: expected at least 0, got -1"),
        ("+trainer.min_epochs=0", "trainer.min_epochs: expected at least 1, got 0"),
        ("trainer.max_epochs=99999999999999999999999", "trainer.max_epochs: expected a whole number of at most"),
        ("~trainer.max_epochs", "trainer.max_epochs: this option is needed"),
    ],
)
def test_what_is_passed_on_is_in_its_range(words, line):
    with pytest.raises(Refused, match=re.escape(line)):
        check(compose([words]))


def test_the_docs_have_a_row_for_each_argument():
    table = Path(ROOT, "docs", "runs.md").read_text().partition("## Coming from Lightning")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == ARGUMENTS
