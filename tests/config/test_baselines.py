"""The baselines of "Classify and generate": what they have in common, what each is, and that those with code of their own train."""

from __future__ import annotations

import pytest
import torch
from conftest import ROOT
from rich.console import Console

from genrun.config.compose import compose, group_choices
from genrun.errors import Refused
from genrun.parts import build_method
from genrun.run import run
from genrun.runs.open import open_run
from genrun.sweeps.grid import expand

FILES = sorted((ROOT / "conf/experiment/baselines").glob("*.yaml"))
NAMES = [file.stem for file in FILES]


def test_one_word_names_all_of_them():
    assert len(NAMES) == 15
    jobs = expand(["experiment=glob(baselines/*)", "seed=0,1"])
    assert jobs == [[f"experiment=baselines/{name}", f"seed={seed}"] for name in NAMES for seed in (0, 1)]
    assert {f"baselines/{name}" for name in NAMES} < set(group_choices()["experiment"])
    with pytest.raises(
        Refused, match=r"experiment=baselines/ns_gna: no such choice \(did you mean 'baselines/ns_gan'\?\)"
    ):
        compose(["experiment=baselines/ns_gna"])


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_each_says_its_source_and_has_the_common_budget_and_networks(file):
    first = file.read_text().splitlines()[1]
    assert '"Classify and generate"' in first and ("table" in first or "figure" in first)
    cfg = compose([f"experiment=baselines/{file.stem}"])
    assert cfg.model.name == file.stem and cfg.data.name == "mnist"
    assert (cfg.trainer.max_epochs, cfg.data.batch_size, cfg.model.code_size) == (20, 64, 64)
    assert cfg.hardware.precision == "32-true" and not cfg.callbacks.training
    for part in ("encoder", "decoder", "generator", "discriminator"):
        if part in cfg.model:
            assert (cfg.model[part].width, cfg.model[part].convolutions) == (64, 2)
            assert cfg.model[part].hidden == (0 if (file.stem, part) == ("began", "discriminator") else 1024)


def test_the_command_line_has_the_last_word_and_the_second_stage_follows_the_budget():
    cfg = compose(["experiment=baselines/two_stage_vae", "data=digits", "trainer.max_epochs=3", "data.batch_size=32"])
    assert (cfg.data.name, cfg.trainer.max_epochs, cfg.data.batch_size) == ("digits", 3, 32)
    assert (cfg.model.prior.epochs, cfg.model.prior.batch_size) == (3, 32)


@pytest.mark.parametrize("name", ["ac_gan", "began", "wae_mmd", "two_stage_vae"])
def test_those_with_code_of_their_own_train_for_two_steps_and_sample_again_when_opened(name, tmp_path):
    parts = ("generator", "discriminator") if "gan" in name else ("encoder", "decoder")
    options = [
        f"experiment=baselines/{name}",
        *(f"model.{part}.width=4" for part in parts),
        *(f"model.{part}.hidden=8" for part in parts),
        *(["model.prior.width=8"] if name == "two_stage_vae" else []),
        "model.code_size=4",
        *("data=digits", "data.limit=150", "data.passes=1", "trainer.max_epochs=1", "sample.n=10"),
        *("evaluation=none", "callbacks=none", "run.figures=false", f"paths.outputs={tmp_path}"),
    ]
    opened = open_run(run(compose(options), options, Console(quiet=True)).path)
    method = opened.method()
    torch.manual_seed(0)
    fresh = build_method(opened.config).state_dict()
    moved = {key for key, weight in method.named_parameters() if not torch.equal(weight, fresh[key])}
    assert moved == {key for key, _ in method.named_parameters()}
    kept, labels = opened.samples()
    asked = torch.from_numpy(labels) if method.num_classes else None
    again = method.sample(10, asked, generator=torch.Generator().manual_seed(0))
    assert (again.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).equal(torch.from_numpy(kept))
    assert bool(method.num_classes) == (name == "ac_gan")
