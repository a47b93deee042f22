"""A run that was killed, ended or refused a write goes on to the same end, bit for bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, command, outcome
from helpers.callbacks import Disturbance
from rich.console import Console
from safetensors.torch import load_file

from genrun.config.compose import compose
from genrun.errors import Interrupted, NotFinite, Refused
from genrun.run import run
from genrun.runs import folder as runs
from genrun.runs.folder import RunFolder
from genrun.runs.resume import is_whole

# Epochs of about a second, so that a signal meets one in its middle
LONGER = (*TINY, "data.limit=null", "data.passes=6", "trainer.max_epochs=4", "model.hidden=[64,32]")


def wait_for_epoch(folder: runs.RunFolder, epoch: int, process: subprocess.Popen) -> None:
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        assert process.poll() is None, process.stderr.read()
        if folder.path.is_dir() and folder.status().get("epoch", 0) >= epoch:
            return
        time.sleep(0.02)
    raise TimeoutError(f"epoch {epoch} was not reached")


def to_its_end(outputs: Path) -> RunFolder:
    """The run, begun or resumed in this process."""
    every = [*LONGER, f"paths.outputs={outputs}"]
    return run(compose(every), every, Console(quiet=True))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> RunFolder:
    """The same run without any disturbance."""
    return to_its_end(tmp_path_factory.mktemp("undisturbed"))


def test_killed_between_checkpoints_it_ends_as_if_nothing_had_happened(undisturbed, tmp_path):
    arguments = (*LONGER, f"paths.outputs={tmp_path}")
    folder = runs.RunFolder(tmp_path / "csgm-digits" / undisturbed.path.name)
    process = command(*arguments)
    wait_for_epoch(folder, 2, process)
    time.sleep(0.3)
    process.kill()
    process.wait()
    assert folder.status()["state"] == "running"  # nobody was left to say otherwise
    to_its_end(tmp_path)
    assert outcome(folder) == outcome(undisturbed)
    assert [attempt["state"] for attempt in folder.status()["attempts"]] == ["interrupted", "done"]


def test_ended_in_the_middle_of_an_epoch_it_goes_on_there(undisturbed, tmp_path):
    arguments = (*LONGER, f"paths.outputs={tmp_path}")
    folder = runs.RunFolder(tmp_path / "csgm-digits" / undisturbed.path.name)
    process = command(*arguments)
    wait_for_epoch(folder, 1, process)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    assert process.stderr.read().count("\n") == 1
    assert folder.status()["state"] == "interrupted"
    progress = torch.load(folder.last, weights_only=True)["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
    assert 0 < progress["processed"] <= 6 * 41  # in the middle; on a busy machine sometimes at the last batch
    to_its_end(tmp_path)
    assert outcome(folder) == outcome(undisturbed)


def test_the_same_command_again_prints_the_table_without_torch(undisturbed):
    outputs = undisturbed.path.parents[1]
    script = (
        "import sys; sys.argv = ['genrun', *sys.argv[1:]]\n"
        "sys.modules['torch'] = sys.modules['pytorch_lightning'] = None\n"  # an import of them raises
        "from genrun.cli import main; main()"
    )
    before = outcome(undisturbed), (undisturbed.path / "status.json").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", script, *LONGER, f"paths.outputs={outputs}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "training, s" in done.stdout and str(undisturbed.samples / "final.png") in done.stdout
    assert (outcome(undisturbed), (undisturbed.path / "status.json").read_bytes()) == before


def test_a_run_folder_survives_moving_and_is_found_again(tiny, tmp_path):
    first = tiny()
    (tmp_path / "outputs").rename(tmp_path / "elsewhere")
    moved = tiny(outputs=tmp_path / "elsewhere")
    assert moved.path.name == first.path.name and len(moved.status()["attempts"]) == 1


# -------------------------------------------------------------------------------------------------------------- budgets


def test_extending_a_finished_run_equals_the_longer_run(tiny, tmp_path):
    constant = "model.schedule=constant"  # does not depend on the budget
    short = tiny(constant)
    extended = tiny(constant, "trainer.max_epochs=4", "run.extend=true")
    longer = tiny(constant, "trainer.max_epochs=4", outputs=tmp_path / "other")
    assert outcome(extended) == outcome(longer)
    assert json.loads((extended.path / "provenance.json").read_text())["parent"] == short.path.name
    assert extended.path != short.path and short.status()["state"] == "done"


def test_extending_is_refused_without_a_parent_and_where_the_schedule_depends_on_the_budget(tiny):
    with pytest.raises(
        Refused, match=r"no finished run in .* differs from this one only by a smaller trainer.max_epochs"
    ):
        tiny("run.extend=true", "model.schedule=constant")
    tiny("model.ramp=training")
    with pytest.raises(Refused, match=r"model.ramp=training rises over the whole budget"):
        tiny("model.ramp=training", "trainer.max_epochs=4", "run.extend=true")


def test_starting_from_the_weights_of_another_run(tiny, tmp_path):
    parent = tiny()
    child = tiny("seed=1", f"run.init_from={parent.path}", "trainer.max_epochs=1")
    assert child.path.name != tiny("seed=1", "trainer.max_epochs=1").path.name
    codes = [load_file(folder.weights)["codes"] for folder in (parent, child)]
    fresh = load_file(tiny("seed=1", "trainer.max_epochs=1").weights)["codes"]
    near, far = ((codes[1] - other).square().mean() for other in (codes[0], fresh))
    assert near < far
    with pytest.raises(Refused, match=r"weights of another model .*'codes' expected \(100, 32\), got \(200, 32\)"):
        tiny("data.limit=100", f"run.init_from={parent.path}")
    with pytest.raises(Refused, match="expected the folder of a run"):
        tiny(f"run.init_from={tmp_path}")


def test_a_method_that_fits_each_step_once_does_not_start_from_weights(tiny, tmp_path):
    words = ["model=nota", "data=digits", "model.particles=100", f"paths.outputs={tmp_path / 'other'}"]
    with pytest.raises(
        Refused, match="MonotoneNOTA fits each step once, so nothing would be left to train; leave it out"
    ):
        run(compose([*words, f"run.init_from={tiny().path}"]), words, Console(quiet=True))


def test_a_time_limit_ends_at_an_epochs_end_and_is_marked(tiny):
    folder = tiny("trainer.max_time=00:00:00:02", "trainer.max_epochs=100000")
    status = folder.status()
    assert status["state"] == "done" and status["repeatable"] is False
    assert len(folder.metrics()) == status["epoch"] < 100000


# ----------------------------------------------------------------------------------------------------------- run.resume


def test_resume_must_never_and_nan(tiny):
    with pytest.raises(Refused, match=r"run\.resume=must"):
        tiny("run.resume=must")
    first = tiny()
    again = tiny("run.resume=never")
    old = again.path.with_name(f"{again.path.name}.old-1")
    assert again.path == first.path and outcome(runs.RunFolder(old)) == outcome(again)
    assert tiny("run.resume=must").status() == again.status()

    diverging = ("model.optimizer.lr=1e30", "trainer.max_epochs=3")
    with pytest.raises(NotFinite, match=r"loss term '\w+' became (NaN|infinite) in epoch 1"):
        tiny(*diverging)
    with pytest.raises(NotFinite, match=r"the same command would meet it again"):
        tiny(*diverging)
    (failed,) = [path for path in first.path.parent.iterdir() if runs.RunFolder(path).status()["state"] == "failed"]
    assert len(runs.RunFolder(failed).status()["attempts"]) == 1  # the second time it did not even begin
    with pytest.raises(NotFinite, match=r"became"):
        tiny(*diverging, "run.resume=never")


def test_a_damaged_checkpoint_is_set_aside_and_the_run_begins_again(tiny, tmp_path):
    with pytest.raises(RuntimeError, match="stop here"):
        tiny("+callbacks.watching.stop._target_=helpers.callbacks.StopAfterFirst")
    (path,) = (tmp_path / "outputs" / "csgm-digits").iterdir()
    folder = runs.RunFolder(path)
    assert folder.status()["state"] == "failed" and folder.status()["error"] == "stop here"
    folder.last.write_bytes(folder.last.read_bytes()[:1000])
    finished = tiny()
    assert finished.path == folder.path
    assert folder.last.with_suffix(".damaged").is_file()
    assert len(finished.metrics()) == 2


# --------------------------------------------------------------------------------------- resumption, of every generator


GENERATORS = {
    "gan": ["model=gan", "model.generator.widths=[8]", "model.discriminator.widths=[8]"],
    "gan-labels": [
        "model=gan",
        "model.conditional=true",
        "model.critic_steps=2",
        "model/generator=dcgan",
        "model/discriminator=dcgan",
        "model.discriminator.spectral_norm=true",
        "model/loss=wasserstein",
        "model.generator.width=8",
        "model.discriminator.width=8",
    ],
    "gan_paper": ["model=gan_paper", "model.generator.hidden=[16]", "model.discriminator.hidden=[32,16]"],
    "rbm": ["model=rbm", "model.hidden=20", "model.chains=10", "model.ais_temperatures=20", "model.gibbs_steps=20"],
    "rbm-labels": ["model=rbm", "model.conditional=true", "model.hidden=20", "model.ais_temperatures=20"],
    "autoencoder": [
        "model=autoencoder",
        "model.encoder.width=8",
        "model.decoder.width=8",
        "model.prior.components=2",
    ],
    "vae": ["model=vae", "model.encoder.width=8", "model.decoder.width=8", "model.prior.components=2"],
    "ddpm": ["model=ddpm", "model.network.widths=[8,16]", "model.sampler.steps=3"],
    "ddpm-labels": ["model=ddpm", "model.conditional=true", "model.network.widths=[8,16]", "model.sampler.steps=3"],
    "ddpm_paper": ["model=ddpm_paper", "model.network.width=8", "model.beta_schedule.steps=9", "model.halve_after=0"],
    "flow_matching": ["model=flow_matching", "model.network.widths=[8,16]", "model.sampler.steps=3"],
}


@pytest.mark.parametrize("options", GENERATORS.values(), ids=GENERATORS)
def test_a_run_that_breaks_and_is_ended_amid_an_epoch_equals_an_undisturbed_one(options, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    np.savez(
        tmp_path / "images.npz", images=random.integers(0, 256, (90, 8, 8), dtype=np.uint8), labels=np.arange(90) % 3
    )

    def finish(outputs: str) -> RunFolder:
        every = [
            *options,
            "data=npz",
            f"data.source.path={tmp_path / 'images.npz'}",
            "data.batch_size=10",
            "data.validation=10",
            "trainer.max_epochs=3",
            "sample.n=9",
            "evaluation=none",
            "run.figures=false",
            "~callbacks.watching.samples",
            "~callbacks.watching.codes",
            "+callbacks.watching.stop._target_=helpers.callbacks.Disturbance",
            f"paths.outputs={tmp_path / outputs}",
        ]
        return run(compose(every), every, Console(quiet=True))

    monkeypatch.setattr(Disturbance, "stops", [])
    undisturbed = finish("undisturbed")
    monkeypatch.setattr(Disturbance, "stops", [(1, 4, "breaks"), (2, 1, "ends")])
    with pytest.raises(RuntimeError, match="the machine is gone"):
        finish("disturbed")
    with pytest.raises(Interrupted):
        finish("disturbed")
    disturbed = finish("disturbed")
    assert len(disturbed.status()["attempts"]) == 3 and not Disturbance.stops
    expected = outcome(undisturbed)
    differing = [name for name, content in outcome(disturbed).items() if content != expected[name]]
    assert not differing


# ----------------------------------------------------------------------------------------------------- starting over


def test_starting_over_moves_a_folder_aside_whose_status_is_damaged(tiny):
    folder = tiny()
    (folder.path / "status.json").write_text("{")
    with pytest.raises(Refused, match=r"status.json is not .*run.resume=never starts over"):
        tiny()
    again = tiny("run.resume=never")
    assert again.status()["state"] == "done" and again.path.with_name(f"{again.path.name}.old-1").is_dir()


def test_a_damaged_checkpoint_is_known_before_the_provenance_is_written(tiny):
    folder = tiny()
    for file in (folder.weights, folder.best):
        file.unlink()
    folder.last.write_bytes(folder.last.read_bytes()[:1000])
    provenance = json.loads((tiny().path / "provenance.json").read_text())
    assert provenance["resumed"] == []  # it started over


def test_no_budget_but_a_time_limit(tiny):
    folder = tiny("trainer.max_epochs=null", "trainer.max_time=00:00:00:01", "model.schedule=constant")
    assert folder.status()["state"] == "done" and folder.status()["repeatable"] is False


def test_the_folder_is_told_where_nothing_can_be_remembered(tmp_path):
    """The facts of the data cannot be kept in this cache; a sweep still learns which run its job was."""
    every = [*TINY, f"paths.outputs={tmp_path}", "paths.cache=/proc/nowhere"]
    folders = []
    done = run(compose(every), every, Console(quiet=True), on_folder=folders.append)
    assert [folder.path for folder in folders] == [done.path]


def test_damaged_tables_are_made_again_without_other_weights(tiny):
    folder = tiny()
    before = outcome(folder), folder.results()["rows"][-1], folder.weights.read_bytes()
    (folder.path / "results.json").write_text("[]")
    (folder.path / "metrics.csv").write_bytes(b"\xff")
    tiny()
    assert (outcome(folder), folder.results()["rows"][-1], folder.weights.read_bytes()) == before


def test_damaged_metrics_without_a_checkpoint_are_refused(tiny):
    folder = tiny("run.keep_checkpoints=none")
    (folder.path / "metrics.csv").write_bytes(b"\xff")
    with pytest.raises(Refused, match=r"metrics\.csv is damaged .* delete it"):
        tiny("run.keep_checkpoints=none")
    assert folder.status()["state"] == "done"


@pytest.mark.parametrize("content", [[], {}, {"state_dict": {}, "optimizer_states": [], "loops": {}, "callbacks": {}}])
def test_a_file_that_is_no_checkpoint_of_a_training_is_damaged(content, tmp_path):
    torch.save(content, tmp_path / "last.ckpt")
    assert not is_whole(tmp_path / "last.ckpt") and (tmp_path / "last.damaged").is_file()
