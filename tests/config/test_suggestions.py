"""What a user may have meant: whole keys, and values that are read as they were typed."""

from __future__ import annotations

import re
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from genrun.config.compose import compose
from genrun.config.schema import check
from genrun.config.suggestions import quoted
from genrun.errors import Refused, nearest

PATHS = ["my faces (1)", "/data/a=b", "/data/faces[old]", "/data/李明", "/data/it's", "/data/#2", "/data/a&b", "/x,(y"]


@pytest.mark.parametrize("path", PATHS)
def test_an_unreadable_value_is_shown_quoted_and_that_works(path):
    with pytest.raises(Refused) as refused:
        compose(["data=image_folder", f"data.source.path={path}"])
    hint = str(refused.value).rpartition("for genrun: ")[2]
    assert compose(["data=image_folder", *shlex.split(hint)]).data.source.path == path


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\\'\"${}()[],=#& `!"), min_size=1))
def test_any_text_survives_the_quotes_of_the_shell_and_of_genrun(text):
    [word] = shlex.split(quoted(f"run.name={text}"))
    read = OmegaConf.create({"name": OverridesParser.create().parse_override(word).value()}).name
    meant = text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
    assert read == meant


# (words, the keys that are suggested)
MEANT = [
    (["epochs=3"], ["trainer.max_epochs"]),
    (["n_epochs=3"], ["trainer.max_epochs"]),
    (["max_epochs=3"], ["trainer.max_epochs"]),
    (["trainer.epochs=3"], ["trainer.max_epochs"]),
    (["model=regene", "epochs=3"], [f"model.phases.{name}.max_epochs" for name in ("classifier", "decoder_outline")]),
    (["lr=1"], ["model.optimizer.lr"]),
    (["learning_rate=1"], ["model.optimizer.lr"]),
    (["model.lr=1"], ["model.optimizer.lr"]),
    (["optimizer.lr=1"], ["model.optimizer.lr"]),
    (["model=gan", "lr=1"], ["model.optimizer.lr", "model.discriminator_optimizer.lr"]),
    (["batch_size=8"], ["data.batch_size"]),
    (["num_workers=8"], ["data.workers"]),
    (["precision=16"], ["hardware.precision"]),
    (["gpus=2"], ["hardware.devices"]),
    (["model=gan", "latent_dim=3"], ["model.code_size"]),
    (["data=image_folder", "path=x"], ["data.source.path"]),
    (["modle=vae"], ["model"]),
    (["model/pror=mixture"], ["model/prior"]),
]


@pytest.mark.parametrize(("words", "keys"), MEANT, ids=[" ".join(words) for words, _ in MEANT])
def test_a_short_or_misspelt_key_is_answered_with_the_whole_key(words, keys):
    with pytest.raises(Refused) as refused:
        compose(words)
    said = re.search(r"did you mean (.*?)\?", str(refused.value))[1]
    assert said.split(" or ")[: len(keys)] == [f"'{key}'" for key in keys]


@pytest.mark.parametrize(
    "word", ["+epochs=3", "++lr=1", "+foo.bar=1", "+callbacks.foo=1", "+run.foo=1", "+hardware.x=1"]
)
def test_a_key_that_nothing_reads_is_refused(word):
    with pytest.raises(Refused, match=r"nothing reads this option|takes no such option"):
        check(compose([word]))


@pytest.mark.parametrize("word", ["+callbacks.watching.foo=1", "+callbacks.training.foo={a:1}", "+logger.foo={a:1}"])
def test_an_entry_that_names_no_class_is_refused(word):
    with pytest.raises(Refused, match=r"expected options with the name of a class, \S+foo\._target_"):
        check(compose([word]))


def test_a_key_that_an_interpolation_reads_is_accepted():
    check(compose(["+epochs=3", "trainer.max_epochs=${epochs}"]))


def test_an_option_of_a_watcher_that_was_removed_is_accepted():
    check(compose(["model=vae_paper", "callbacks=none"]))  # its YAML sets callbacks.watching.samples.columns


def test_a_text_that_looks_like_a_number_is_shown_quoted():
    with pytest.raises(
        Refused, match=r"""got 2024; a text that looks like something else is quoted: "run.name='…'\""""
    ):
        check(compose(["run.name=2024"]))


def test_a_part_of_a_longer_name_counts_as_near():
    assert nearest("slurm", ["local", "submitit_slurm"]) == " (did you mean 'submitit_slurm'?)"
    assert nearest("xyz", ["local", "submitit_slurm"]) == ""
