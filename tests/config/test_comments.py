"""The comments of a YAML file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import genrun
from genrun.config.comments import comments_of

TEXT = """\
# @package _global_
# What the file is about,
# in two lines.
defaults:
  - base
  - other/group: choice  # of the defaults list
  - _self_
model:
  _target_: a.B           # the class
  # above the key,
  # in two lines
  width: 3
  # in another column
    # than the key
  name: "a # b"           # beside a text with a sharp
  single: 'it''s # c'
  hidden: [1, 2, "#"]     # beside a list,
                          # which goes on
  flow: {a: 1, b: {c: 2}} # beside a mapping
  many: {
    x: 1,  # of x
    y: 2   # of y
  }
  nested:  # beside a key
    inner: 0.5            # beside a number
    none: null
  long: >  # beside a mark
    text # that is no comment

    # nor is this
  url: http://a#b
  after: 1

  # a line between this and the key

  last: 2#3
"""


def test_a_comment_stands_beside_its_option_or_above_it():
    made = comments_of(TEXT)
    assert (made.about, made.package, made.bases) == ("What the file is about, in two lines.", "_global_", ["base"])
    assert made.options == {
        "model._target_": "the class",
        "model.width": "above the key, in two lines",
        "model.name": "beside a text with a sharp",
        "model.hidden": "beside a list, which goes on",
        "model.flow": "beside a mapping",
        "model.many.x": "of x",
        "model.many.y": "of y",
        "model.nested": "beside a key",
        "model.nested.inner": "beside a number",
        "model.long": "beside a mark",
    }
    assert {"model.flow.b.c", "model.url", "model.last", "model.nested.none"} <= set(made.keys)
    assert not any(key.startswith("defaults") for key in made.keys)


def test_the_comment_at_the_top_is_not_that_of_the_first_option():
    made = comments_of("# about\nwidth: 3\n")
    assert made.about == "about" and made.options == {} and made.keys == ["width"] and made.package is None


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a list\n", "a text"])
def test_a_file_without_options_has_none(text):
    assert comments_of(text).keys == []


def test_what_is_no_yaml_is_refused():
    with pytest.raises(yaml.YAMLError):
        comments_of("a: [1")


def test_every_sharp_in_the_yaml_files_is_in_a_comment_that_is_read():
    """No comment is lost: each word after a sharp in conf/ is in what was read, but for the lists of defaults and the expectations."""
    folder = Path(genrun.__file__).parents[1] / "conf"
    for file in folder.rglob("*.yaml"):
        if file.parent.name == "expected":  # no options
            continue
        text = file.read_text()
        made = comments_of(text)
        read = " ".join([made.about, *made.options.values()])
        inside = False  # the defaults list
        for line in text.splitlines():
            inside = line.startswith("defaults:") or (inside and line.startswith("  "))
            if " #" in f" {line}" and "@package" not in line and not inside:
                comment = line[f" {line}".index(" #") :].lstrip("#").strip()
                assert comment in read, f"{file.name}: {line}"
