"""Choices of groups."""

from __future__ import annotations

from importlib import resources

import pytest
from omegaconf import OmegaConf

from genrun.config.choices import models_with
from genrun.config.compose import compose


@pytest.mark.parametrize("model", models_with("model/prior"))
def test_a_chosen_prior_is_the_groups_whatever_the_model_has_by_default(model):
    for file in sorted((resources.files("genrun.conf") / "model/prior").iterdir()):
        chosen = compose([f"model={model}", f"model/prior={file.name.removesuffix('.yaml')}"])
        assert chosen.model.prior == OmegaConf.create(file.read_text())
