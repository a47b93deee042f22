"""A sweep is what it was when it began, whatever happens to its YAML files later."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrun.config.compose import compose
from genrun.config.kept import keep_configuration
from genrun.errors import Refused


@pytest.fixture
def mine(tmp_path) -> Path:
    """A folder of the user's own groups, with much else in it."""
    for name in ("experiment", "own", "outputs/run", ".hidden", "env"):
        (tmp_path / "mine" / name).mkdir(parents=True)
    for name in ("outputs/run/config", ".hidden/no", "env/no"):
        (tmp_path / "mine" / f"{name}.yaml").write_text("seed: 1\n")
    (tmp_path / "mine/env/pyvenv.cfg").touch()
    for name in (".#mine.yaml", "gone.yaml"):  # what an editor leaves, and a link to nothing
        (tmp_path / "mine/experiment" / name).symlink_to("nowhere")
    (tmp_path / "mine/own/choice.yaml").write_text("value: 1\n")
    (tmp_path / "mine/experiment/mine.yaml").write_text("# @package _global_\nseed: 5\n")
    return tmp_path / "mine"


def test_what_was_kept_is_composed_after_a_change(mine, tmp_path):
    kept = tmp_path / "kept"
    keep_configuration(kept, str(mine), mine / "outputs")
    (mine / "experiment/mine.yaml").write_text("# @package _global_\nseed: 6\n")
    words = ["experiment=mine", "model=vae", "+own=choice"]
    assert compose(words, str(mine), kept=kept).seed == 5
    changed = compose(words, str(mine))
    assert changed.seed == 6
    changed.seed = 5
    assert compose(words, str(mine), kept=kept) == changed  # nothing else differs
    keep_configuration(kept, str(mine), mine / "outputs")
    assert compose(words, str(mine), kept=kept).seed == 6
    with pytest.raises(Refused, match="experiment=other: no such choice; there are "):
        compose(["experiment=other"], str(mine), kept=kept)


def test_only_configuration_is_kept(mine, tmp_path):
    keep_configuration(tmp_path / "kept", str(mine), mine / "outputs")
    left = {path.relative_to(tmp_path / "kept").parts[0] for path in (tmp_path / "kept").rglob("*.yaml")}
    assert {"model", "experiment", "own"} <= left and not left & {"outputs", ".hidden", "env"}
