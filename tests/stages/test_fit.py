"""A training in phases: each is a fit of its own, and a run that was killed in any of them comes to the same end, bit for bit."""

from __future__ import annotations

import io
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from conftest import command, outcome
from omegaconf import OmegaConf
from pytorch_lightning import Callback
from rich.console import Console
from safetensors.torch import load_file

from genrun.callbacks.progress import TrainingProgress
from genrun.config.compose import compose
from genrun.config.schema import check
from genrun.errors import Failed, Interrupted, Refused
from genrun.methods.csgm import CSGM
from genrun.parts import read_facts, with_facts
from genrun.run import run
from genrun.runs.folder import RunFolder
from genrun.runs.phases import phase_keys, phases_of
from genrun.stages.context import RunContext
from genrun.verbs import refit

TESTS = Path(__file__).parents[1]
CONF = str(TESTS / "conf")
PATH = os.pathsep.join(filter(None, (str(TESTS), os.environ.get("PYTHONPATH"))))
WITH_TESTS = os.environ | {"PYTHONPATH": PATH}  # for processes that build two_phases.TwoPhases
SHORT = (
    *("model=two_phases", "data=digits", "data.limit=200", "data.passes=1", "data.batch_size=32"),
    *("sample.n=20", "evaluation=none"),
)
# epochs of about a second, so that a signal meets one in its middle
LONG = (*SHORT, "data.limit=null", "data.passes=12", "model.phases.decoder.max_epochs=3")


def train(outputs: Path, *overrides: str) -> RunFolder:
    every = [*SHORT, f"paths.outputs={outputs}", *overrides]
    return run(compose(every, CONF), every, Console(quiet=True))


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, bytes]:
    """What an undisturbed short run comes to."""
    return outcome(train(tmp_path_factory.mktemp("expected")))


def started(*overrides: str):
    return command("--config-dir", CONF, *LONG, *overrides, env=WITH_TESTS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("undisturbed")
    process = started(f"paths.outputs={outputs}")
    _, error = process.communicate()
    assert process.returncode == 0, error
    (path,) = (outputs / "two_phases-digits").iterdir()
    return RunFolder(path)


def wait_for(folder: RunFolder, stage: str, epoch: int, process) -> None:
    limit = time.monotonic() + 120
    while time.monotonic() < limit:
        assert process.poll() is None, process.stderr.read()
        if folder.path.is_dir():
            status = folder.status()
            if status.get("stage") == stage and status.get("epoch") == epoch and stage not in status["stages"]:
                return
        time.sleep(0.01)
    raise TimeoutError(f"epoch {epoch} of {stage} was not reached")


# ----------------------------------------------------------------------------------------------------- what is left


def test_each_phase_is_a_stage_with_its_own_checkpoints_and_columns(tmp_path):
    folder = train(tmp_path)
    status = folder.status()
    assert list(status["stages"]) == ["fit classifier", "fit decoder", "sample", "figures", "evaluate"]
    files = {str(file.relative_to(folder.checkpoints)) for file in folder.checkpoints.rglob("*") if file.is_file()}
    assert files == {
        *(f"{phase}/{name}.ckpt" for phase in ("classifier", "decoder") for name in ("last", "best")),
        "classifier/weights.safetensors",
    }
    rows = folder.metrics()
    assert [(row["phase"], row["epoch"]) for row in rows] == [
        *(("classifier", epoch) for epoch in (1, 2, 3)),
        *(("decoder", epoch) for epoch in (1, 2)),
    ]
    for row in rows:
        terms = {key for key in row if key.startswith(("train/", "val/"))}
        assert terms == {f"train/{row['phase']}/error", f"val/{row['phase']}/score"}
    assert status["epoch"] == 5 and status["step"] == 5 * 7 and status["training_images"] == 5 * 200
    assert {name: one["epoch"] for name, one in status["phases"].items()} == {"classifier": 3, "decoder": 2}
    assert {path.name for path in folder.samples.glob("epoch_*")} == {"epoch_0001.png", "epoch_0002.png"}  # of the last
    assert train(tmp_path).status() == status  # done


def test_the_second_phase_begins_with_what_the_first_left_and_leaves_it_alone(tmp_path):
    folder = train(tmp_path)
    first, both = load_file(folder.checkpoints / "classifier" / "weights.safetensors"), load_file(folder.weights)
    assert torch.equal(first["classifier.weight"], both["classifier.weight"])
    assert not torch.equal(first["decoder.weight"], both["decoder.weight"])


def test_both_phases_are_in_the_progress_and_the_time_left_of_the_first_counts_the_second(tmp_path):
    every = [*SHORT, f"paths.outputs={tmp_path}", "data.passes=20"]
    printed = io.StringIO()
    run(compose(every, CONF), every, Console(file=printed, width=200))
    lines = [line for line in printed.getvalue().splitlines() if line.endswith(" s left")]
    names = [*(f"classifier epoch {epoch}/3" for epoch in (1, 2, 3)), *(f"decoder epoch {epoch}/2" for epoch in (1, 2))]
    assert [line.partition("  ")[0] for line in lines] == names
    assert lines[-1].endswith("  0 s left")


def test_the_time_left_counts_the_epochs_of_later_phases(tmp_path):
    classifier, decoder = phases_of(compose([*SHORT], CONF))
    console = Console(quiet=True)
    left = [TrainingProgress(console, phase, [classifier, decoder]).later_epochs for phase in (classifier, decoder)]
    assert left == [2, 0]


def test_both_phases_are_in_the_dry_run(tmp_path, capsys):
    every = [*SHORT, f"paths.outputs={tmp_path}", "run.dry_run=true"]
    run(compose(every, CONF), every, Console(width=200))
    shown = " ".join(capsys.readouterr().out.split())
    assert "classifier: 3 epochs of 7 steps" in shown and "decoder: 2 epochs of 7 steps" in shown and "about" in shown
    assert not any(tmp_path.iterdir())


def test_keep_checkpoints_keeps_the_weights_that_a_later_phase_begins_with(tmp_path):
    folder = train(tmp_path, "run.keep_checkpoints=none")
    assert [file.name for file in folder.checkpoints.rglob("*") if file.is_file()] == ["weights.safetensors"]
    status = folder.status()
    assert train(tmp_path).status() == status


# --------------------------------------------------------------------------------------------------------- resuming


class Stop(Callback):
    """Ends a run in the second epoch of a phase: by a signal, or as a crash does, without a checkpoint."""

    def __init__(self, phase: str, how: str) -> None:
        self.phase, self.how = phase, how

    def on_train_batch_end(self, trainer, method, outputs, batch, batch_idx: int) -> None:
        if (method.phase, trainer.current_epoch, batch_idx) == (self.phase, 1, 3):
            if self.how == "crash":
                raise RuntimeError("the machine is gone")
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(("how", "error"), [("signal", Interrupted), ("crash", RuntimeError)])
@pytest.mark.parametrize("phase", ["classifier", "decoder"])
def test_a_run_that_was_ended_in_either_phase_goes_on_there(expected, tmp_path, phase, how, error):
    every = [*SHORT, f"paths.outputs={tmp_path / 'stopped'}"]
    with pytest.raises(error):
        run(compose(every, CONF), every, Console(quiet=True), callbacks=[Stop(phase, how)])
    (path,) = (tmp_path / "stopped" / "two_phases-digits").iterdir()
    assert list(RunFolder(path).status()["stages"]) == ([] if phase == "classifier" else ["fit classifier"])
    progress = torch.load(RunFolder(path).checkpoints / phase / "last.ckpt", weights_only=True)
    seen = progress["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["processed"]
    assert seen == (4 if how == "signal" else 7)  # in the middle of its second epoch, or at the end of its first
    assert outcome(train(tmp_path / "stopped")) == expected


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("stage", ["fit classifier", "fit decoder"])
def test_a_process_that_was_ended_in_either_phase_goes_on_there(undisturbed, tmp_path, stage, sent):
    folder = RunFolder(tmp_path / "two_phases-digits" / undisturbed.path.name)
    process = started(f"paths.outputs={tmp_path}")
    wait_for(folder, stage, 1, process)
    time.sleep(0.2)
    process.send_signal(sent)
    assert process.wait() == (-signal.SIGKILL if sent == signal.SIGKILL else 128 + signal.SIGTERM)
    assert list(folder.status()["stages"]) == ([] if stage == "fit classifier" else ["fit classifier"])
    again = started(f"paths.outputs={tmp_path}")
    printed, error = again.communicate()
    assert again.returncode == 0, error
    assert ("classifier epoch 2/3" in printed) == (stage == "fit classifier") and "classifier epoch 1/3" not in printed
    assert "decoder epoch 2/3" in printed and ("decoder epoch 1/3" in printed) == (stage == "fit classifier")
    assert outcome(folder) == outcome(undisturbed)


def test_a_run_that_was_ended_between_the_phases_goes_on_with_the_second(expected, tmp_path, monkeypatch):
    enter = RunContext.enter

    def stop(context, phase, weights=None):
        if phase.name == "decoder":
            raise KeyboardInterrupt
        enter(context, phase, weights)

    with monkeypatch.context() as patch:
        patch.setattr(RunContext, "enter", stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "stopped")
    assert outcome(train(tmp_path / "stopped")) == expected


# ---------------------------------------------------------------------------------------------- one phase done again


def test_an_option_of_the_second_phase_alone_does_not_repeat_the_first(tmp_path):
    first = train(tmp_path / "runs")
    other = train(tmp_path / "runs", "model.phases.decoder.lr=0.05")
    alone = train(tmp_path / "alone", "model.phases.decoder.lr=0.05")
    assert other.path.name == alone.path.name != first.path.name
    assert not (other.checkpoints / "classifier" / "last.ckpt").exists()  # it was not trained here
    assert (alone.checkpoints / "classifier" / "last.ckpt").exists()
    assert outcome(other) == outcome(alone)
    taken = first.status()["phases"]["classifier"] | {"taken_over_from": first.path.name}
    assert other.status()["phases"]["classifier"] == taken
    assert (other.path / "metrics.csv").read_bytes() == (alone.path / "metrics.csv").read_bytes()
    assert other.status()["epoch"] == 5
    changed = train(tmp_path / "runs", "model.phases.classifier.lr=0.05")
    assert (changed.checkpoints / "classifier" / "last.ckpt").exists()


def test_a_run_that_starts_over_takes_nothing_over(tmp_path):
    train(tmp_path)
    train(tmp_path, "model.phases.decoder.lr=0.05")
    again = train(tmp_path, "model.phases.decoder.lr=0.05", "run.resume=never")
    assert (again.checkpoints / "classifier" / "last.ckpt").exists()
    assert again.path.with_name(f"{again.path.name}.old-1").is_dir()


def test_the_key_of_a_phase_hangs_on_the_phases_before_it():
    def keys(*overrides: str) -> dict[str, str]:
        cfg = compose([*SHORT, *overrides], CONF)
        return phase_keys(with_facts(cfg, read_facts(cfg)[0]))

    base, second = keys(), keys("model.phases.decoder.lr=1")
    assert base["fit classifier"] == second["fit classifier"] and base["fit decoder"] != second["fit decoder"]
    for override in ("model.phases.classifier.lr=1", "seed=1", "data.batch_size=31"):
        changed = keys(override)
        assert all(changed[stage] != base[stage] for stage in base), override


def test_a_phase_whose_weights_are_gone_is_done_again(expected, tmp_path):
    folder = train(tmp_path / "runs")
    (folder.checkpoints / "classifier" / "weights.safetensors").unlink()
    assert outcome(train(tmp_path / "runs")) == expected
    (folder.checkpoints / "classifier" / "weights.safetensors").unlink()
    assert outcome(train(tmp_path / "runs", "run.resume=never")) == expected


def test_a_phase_with_damaged_weights_is_not_taken_over_and_names_the_file_in_its_own_run(tmp_path):
    first = train(tmp_path)
    weights = first.checkpoints / "classifier" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    other = train(tmp_path, "model.phases.decoder.lr=0.05")
    assert (other.checkpoints / "classifier" / "last.ckpt").exists()  # it was trained here
    (first.checkpoints / "decoder" / "last.ckpt").unlink()
    first.weights.unlink()
    with pytest.raises(
        Refused, match=r"the phase classifier \(delete the file, and the phase is done again\): .*cannot be read"
    ):
        train(tmp_path)


def test_in_64_bits_the_second_phase_begins_with_all_of_them(tmp_path):
    exact = ("hardware.precision=64-true", "model.phases.decoder.max_epochs=1")
    folder = train(tmp_path, *exact)
    first, both = load_file(folder.checkpoints / "classifier" / "weights.safetensors"), load_file(folder.weights)
    assert first["classifier.weight"].dtype == torch.float64
    assert torch.equal(first["classifier.weight"], both["classifier.weight"])


def test_a_search_watches_the_last_phase(tmp_path):
    optuna = pytest.importorskip("optuna")
    from genrun.sweeps.searches.study import TrialReporter, study_of

    study = study_of(tmp_path, "minimize")
    number = study.ask().number
    reporter = TrialReporter(str(tmp_path), "minimize", number, "val/decoder/score", optuna.pruners.NopPruner)
    every = [*SHORT, f"paths.outputs={tmp_path}", "model.phases.decoder.max_epochs=3"]
    folder = run(compose(every, CONF), every, Console(quiet=True), callbacks=[reporter.callback()])
    scores = {row["epoch"]: row["val/decoder/score"] for row in folder.metrics() if row["phase"] == "decoder"}
    assert study.trials[number].intermediate_values == {epoch: scores[epoch] for epoch in (1, 2)}


def test_a_refit_has_every_phase_of_its_run(tmp_path):
    own = ["model=two_phases_prior", *SHORT[1:], f"paths.outputs={tmp_path}"]
    folder = run(compose(own, CONF), own, Console(quiet=True))
    words = ["model/prior=gaussian", "--config-dir", CONF, "--trust"]
    assert refit.main([str(folder.path), *words]) == 0
    (path,) = (path for path in folder.path.parent.iterdir() if path != folder.path)
    other = RunFolder(path)
    assert list(other.status()["stages"])[:2] == ["fit classifier", "fit decoder"]
    assert [row["phase"] for row in other.metrics()] == ["classifier"] * 3 + ["decoder"] * 2
    again = run(compose([*own, "model/prior=gaussian", "sample.n=10"], CONF), own, Console(quiet=True))
    assert again.path == path and not again.has_checkpoint()  # nothing was trained for it


@pytest.mark.slow
def test_two_processes_share_the_batches_of_both_phases(tmp_path):
    exact = ("hardware.accelerator=cpu", "hardware.precision=64-true", "hardware.threads=1", "run.name=run")
    for devices in (1, 2):
        words = [*SHORT, *exact, f"hardware.devices={devices}", f"paths.outputs={tmp_path / str(devices)}"]
        process = command("--config-dir", CONF, *words, env=WITH_TESTS)
        _, error = process.communicate()
        assert process.returncode == 0, error
    one, two = (load_file(tmp_path / str(devices) / "two_phases-digits/run/model.safetensors") for devices in (1, 2))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=0, atol=1e-9)


# ------------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "trainer.max_epochs=3",
            r"trainer.max_epochs: two_phases trains in phases; leave it null and give model.phases.c",
        ),
        ("trainer.max_time=00:00:01:00", r"trainer.max_time: two_phases trains in phases"),
        (
            "model.phases.decoder.max_epochs=0",
            r"model.phases.decoder.max_epochs: expected a number of at least 1, got 0",
        ),
        (
            "~model.phases.decoder",
            r"model.phases: TwoPhases trains in the phases \[classifier, decoder\], got \[classifier\]",
        ),
        ("run.extend=true", r"run.extend=true: two_phases trains in phases; leave it out and give the phase"),
    ],
)
def test_what_does_not_go_with_phases_is_refused(override, message, tmp_path):
    with pytest.raises(Refused, match=message):
        train(tmp_path, override)
    assert not list(tmp_path.rglob("status.json"))


def test_a_list_of_phases_is_refused_in_one_line():
    cfg = compose([*SHORT], CONF)
    cfg.model = OmegaConf.to_container(cfg.model, resolve=False) | {"phases": ["a", "b"]}
    with pytest.raises(
        Refused, match=r"model.phases: expected the options of each phase below its name, got \['a', 'b'\]"
    ):
        check(cfg)


def test_a_method_without_phases_has_one_without_a_name():
    (phase,) = phases_of(compose(["data=digits"]))
    assert (phase.name, phase.stage, phase.is_last, phase.max_epochs) == ("", "fit", True, 100)


def test_a_data_worker_that_dies_during_a_step_is_one_line(tiny, monkeypatch):
    """torch raises its error wherever the main thread is."""

    def step(*_):
        raise RuntimeError(
            "DataLoader worker (pid 5) is killed by signal: Bus error. Are workers out of shared memory?"
        )

    monkeypatch.setattr(CSGM, "training_step", step)
    with pytest.raises(Failed, match=r"^a data worker was killed by signal: Bus error; the same command goes on"):
        tiny()
