"""The judge of a data set or of a run: which options it has."""

from __future__ import annotations

import pytest
from rich.console import Console

from genrun.errors import Refused
from genrun.verbs.judges import compose_for_run


def test_a_run_is_judged_with_the_options_that_its_model_sets(tmp_path, capsys):
    console = Console()
    (tmp_path / "overrides.yaml").write_text("- model=autoencoder\n- data=digits\n")
    assert compose_for_run(tmp_path, [], None, console).evaluation.reconstructions == 10000
    assert compose_for_run(tmp_path, ["evaluation.reconstructions=7"], None, console).evaluation.reconstructions == 7
    assert not capsys.readouterr().out
    (tmp_path / "overrides.yaml").write_text("- model=of_another_folder\n")
    for words, used in (([], "evaluation=full"), (["evaluation=full", "seed=1"], "evaluation=full seed=1")):
        assert compose_for_run(tmp_path, words, None, console).evaluation.reconstructions == 200
        said = capsys.readouterr().out
        assert said.count("\n") == 1 and said.endswith(f"; used instead: {used}\n")
        assert "model=of_another_folder may set" in said and "no such choice" in said
    with pytest.raises(Refused, match="evaluation=fast: no such choice"):
        compose_for_run(tmp_path, ["evaluation=fast"], None, console)
    assert not capsys.readouterr().out
