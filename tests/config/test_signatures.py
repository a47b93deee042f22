"""What a class takes, read from its source."""

from __future__ import annotations

import subprocess
import sys

import pytest

from genrun.config.build import find_target, signature_of
from genrun.config.signatures import UNKNOWN, Argument, arguments_of, documented

TARGETS = [
    "genrun.methods.vae.VAE",
    "genrun.methods.csgm.CSGM",
    "genrun.methods.nota.MonotoneNOTA",
    "genrun.methods.regene.DecoderOptions",
    "genrun.data.module.ImageData",
    "genrun.data.numbers.NumbersData",
    "genrun.data.sources.mnist",
    "genrun.evaluation.judge.Judge",
    "genrun.maths.mixtures.ClassMixture",
    "genrun.config.schema.Hardware",
]


@pytest.mark.parametrize("target", TARGETS)
def test_the_source_says_what_the_imported_class_says(target):
    parameters, _ = signature_of(find_target(target, "model"))
    named = {name for name, one in parameters.items() if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)}
    assert named <= set(arguments_of(target)) and all(one.type for one in arguments_of(target).values())


def test_types_are_in_the_words_of_yaml():
    vae, judge = arguments_of("genrun.methods.vae.VAE"), arguments_of("genrun.evaluation.judge.Judge")
    assert vae["conditional"].type == "true | false | null" and vae["code_size"] == Argument(
        "int", "D, the length of z."
    )
    assert vae["schedule"].type == "constant | linear | cosine"  # a name of another module
    assert judge["neighbours"].type == "int | null" and judge["mixed_training"].type == "list of float | null"
    assert arguments_of("genrun.config.schema.Run")["keep_checkpoints"].type == "all | last | best | none"
    assert arguments_of("torch.optim.AdamW")["lr"] == Argument("float", "learning rate.")


def test_a_class_in_the_current_folder_is_read_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        'raise SystemExit(9)\nclass Mine(Unknown):\n    """Mine.\n\n    Args:\n        a, b: two\n            words: here.\n    """\n'
        "    def __init__(self, a: 'int', b: Foo[int] = 1, *, c=2, **options): ...\n"
    )
    assert arguments_of("mine.Mine") == {
        "a": Argument("int", "two words: here."),
        "b": Argument("part", "two words: here."),
        "c": UNKNOWN,
    }
    (tmp_path / "broken.py").write_text("class Broken(")
    assert (
        arguments_of("broken.Broken")
        == arguments_of("nowhere.X")
        == arguments_of("mine.Other")
        == arguments_of("")
        == {}
    )


def test_only_the_section_of_arguments_is_read():
    assert documented("Text: no.\n\nArgs:\n    a: one: two\n\n    b: three\n\nRaises:\n    Refused: no.\n") == {
        "a": "one: two",
        "b": "three",
    }


def test_nothing_slow_is_imported():
    script = (
        "import sys; from genrun.config.signatures import arguments_of; arguments_of('genrun.methods.vae.VAE'); "
        "sys.exit(bool({'torch', 'hydra', 'omegaconf', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
