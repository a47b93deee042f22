"""A finished run in a notebook."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


def test_a_run_opens_in_a_notebook_and_builds_no_foreign_class(finished, here):
    from omegaconf import OmegaConf

    import genrun as package
    from genrun.errors import Refused

    opened = package.open_run(finished)
    assert [row["epoch"] for row in opened.metrics()] == [1, 2] and opened.facts.image_shape == (1, 8, 8)
    assert opened.samples()[0].shape == (30, 8, 8, 1) and opened.samples()[1].tolist() == list(range(10)) * 3
    assert opened.results()["rows"][-1]["value"] == sum(weight.numel() for weight in opened.method().parameters())
    for target in (
        "torch.nn.modules.torch.hub.load",
        "genrun.methods.csgm.torch.hub.load",
        "builtins.eval",
        "subprocess.Popen",
    ):
        shutil.copytree(finished, "evil", dirs_exist_ok=True)
        config = OmegaConf.load("evil/config.yaml")
        config.model.optimizer = {"_target_": target, "_partial_": True}
        OmegaConf.save(config, "evil/config.yaml")
        with pytest.raises(Refused, match=r"expected a class of genrun.methods.*--trust"):
            package.open_run("evil").method()
    for value in ("${oc.create:{_target_: os.mkdir, path: made}}", "\\${oc.create:{_target_: os.mkdir, path: made}}"):
        config.model.optimizer = value
        OmegaConf.save(config, "evil/config.yaml")
        with pytest.raises(Refused, match=r"without interpolation|--trust"):
            package.open_run("evil").method()
    assert not Path("made").exists()
