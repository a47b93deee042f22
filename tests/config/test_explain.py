"""Every option explained."""

from __future__ import annotations

import pytest

from genrun.config.choices import models_with
from genrun.config.compose import group_choices
from genrun.config.explain import explain, narrowed
from genrun.config.signatures import arguments_of
from genrun.errors import Refused

UNEXPLAINED = {"logger"}  # the whole section is empty by default


def every_choice() -> list[list[str]]:
    """Words of few compositions that together choose every YAML of model, data, trainer and evaluation."""
    choices = group_choices()
    left = {group: [*choices[group]] for group in choices if group.startswith("model/")}
    made = []
    for model in choices["model"] * 9:  # again for the parts that are left
        words = [f"model={model}"]
        for group, parts in left.items():
            if parts and model in models_with(group.removeprefix("model/")):
                words.append(f"{group}={parts.pop()}")
        for group in ("data", "evaluation", "trainer"):
            words.append(f"{group}={choices[group][len(made) % len(choices[group])]}")
        if len(words) > 4 or len(made) < len(choices["model"]):
            made.append(words)
    assert not any(left.values()), left
    return [*made, ["evaluation/classifier=resnet56"]]


def test_every_option_of_every_yaml_says_what_it_is():
    compositions = every_choice()
    unexplained = {
        option.key: words
        for words in compositions
        for section in explain(words)
        for option in section.options
        if not (option.comments or option.about) or not option.type
        # a model may set an option of one part, and the test chooses another part, whose class refuses it
        if not section.target.startswith("genrun.") or option.key.rpartition(".")[2] in arguments_of(section.target)
    }
    assert set(unexplained) == UNEXPLAINED, unexplained


def options_of(*words: str, config_dir: str | None = None) -> dict:
    return {option.key: option for section in explain(words, config_dir) for option in section.options}


def test_an_option_has_its_value_type_words_and_comment():
    options = options_of("model=vae", "data=mnist", "model.code_size=8")
    assert (options["model.code_size"].value, options["model.code_size"].given) == (8, True)
    assert options["model.code_size"].about == "D, the length of z."
    assert options["model.beta"].type == "float" and not options["model.beta"].given
    assert options["model.image_shape"].value == "${data.facts.image_shape}"  # open until the data is read
    assert options["data.source.sha256"].type == "mapping | null" and len(options["data.source.sha256"].value) == 4
    assert options["run.keep_checkpoints"].type == "all | last | best | none"
    assert not any(key.startswith(("hydra", "data.facts")) or "_target_" in key for key in options)


def test_the_comments_of_the_section_and_of_the_file_that_sets_it_last_are_given():
    precision = options_of("model=regene")["hardware.precision"]
    assert precision.value == "auto" and len(precision.comments) == 2
    assert precision.comments[0].startswith("32-true | auto") and precision.comments[1].startswith("bfloat16 products")
    # a file that is based on another one has its comments
    assert options_of("evaluation=points")["evaluation.sliced"].comments == [
        "random directions of the sliced Wasserstein distance"
    ]


def test_sections_say_what_was_chosen_and_what_else_there_is():
    sections = {section.name: section for section in explain(["model=vae"])}
    assert (
        sections["model"].choice == "vae"
        and "gan" in sections["model"].others
        and "vae" not in sections["model"].others
    )
    assert sections["model"].about.startswith("Variational autoencoder")
    assert (
        sections["model.encoder"].target == "genrun.nn.conv.ConvEncoder" and sections["model.optimizer"].choice is None
    )
    assert [name for name in sections if "." not in name][:3] == ["model", "data", "trainer"]


def test_comments_of_the_users_own_groups_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "mine.yaml").write_text(
        "# @package _global_\n# My own.\nmodel:\n  _target_: mine.Mine\n  size: 3  # how large\n"
    )
    options = options_of("model=mine", config_dir="own")
    assert options["model.size"].comments == ["how large"] and options["model.size"].type == "int"


def test_filters_narrow_and_a_misspelt_one_gets_the_nearest():
    sections = explain(["model=vae"])

    def keys(*words: str) -> list[str]:
        return [option.key for section in narrowed(sections, words) for option in section.options]

    assert keys("trainer.max_epochs") == ["trainer.max_epochs"] == keys("max_epochs")
    assert set(keys("model.prior")) == {key for key in options_of("model=vae") if key.startswith("model.prior.")}
    assert keys("epochs", "seed")[-1] == "seed" and "trainer.max_epochs" in keys("epochs")
    for word, line in {
        "trainer.max_epohcs": "did you mean 'trainer.max_epochs'",
        "learning_rate": "did you mean .*'model.optimizer.lr'",
        "gan_paper": "did you mean .*'model=gan_paper'",
    }.items():
        with pytest.raises(Refused, match=line):
            keys(word)
