"""The shell completes verbs, runs, flags and choices."""

from __future__ import annotations

import pytest
from conftest import genrun
from helpers.runs import some_run

from genrun.verbs import VERBS
from genrun.verbs.completion import complete


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ca69aaaa", "ca70bbbb", "ca69.old-1"):
        some_run(tmp_path / "outputs", name)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("genrun sample ca", ["ca69aaaa", "ca70bbbb"]),
        ("genrun compare --s", ["--sort"]),
        ("genrun list model=va", ["model=vae", "model=vae_paper"]),
        ("genrun show la", ["last"]),
        ("genrun rm paths.outputs=nowhere ca6", []),
        ("genrun list da", ["data="]),
        ("genrun list mod=", []),
    ],
)
def test_words_of_a_verb(outputs, capsys, line, words):
    assert complete(line) is True
    assert capsys.readouterr().out.split() == words


def test_every_verb_completes_its_flags(capsys):
    for verb in VERBS:
        assert complete(f"genrun {verb} --")
        assert "--help" in capsys.readouterr().out.split(), verb


def test_without_a_verb_hydra_adds_the_options_of_a_run(capsys):
    assert complete("genrun sh") is False and capsys.readouterr().out.split() == ["show"]
    assert complete("genrun model=vae x") is False and capsys.readouterr().out == ""


def test_the_shell_asks_through_the_command_line(outputs, monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", "genrun sample ca69")
    assert genrun("-sc", "query=bash", monkeypatch=monkeypatch) == 0
    assert capsys.readouterr().out.split() == ["ca69aaaa"]
