"""What a user types wrong ends in one line and the right status; what he types right answers quickly."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import GENRUN, TINY, command, genrun

from genrun.config.compose import GROUPS

# (arguments, what the line says)
WRONG = [
    (["model=csgn"], r"model=csgn: no such choice \(did you mean 'csgm'\?\)"),
    (["data=minst"], r"data=minst: no such choice \(did you mean 'mnist'\?\)"),
    (["modle=csgm"], r"modle: no such option \(did you mean 'model'\?\)"),
    (
        ["hardware.precision=bf16mixed"],
        r"hardware.precision: expected one of .*, got 'bf16mixed' \(did you mean 'bf16-mixed'\?\)",
    ),
    (["hardware=tpu"], r"hardware=tpu: no such choice.*auto, cpu, gpu, gpu_multi, mps"),
    (["trainer.max_epoch=3"], r"trainer.max_epoch: no such option \(did you mean 'trainer.max_epochs'\?\)"),
    (["model.ramb=visit"], r"model.ramb: no such option \(did you mean 'model.ramp'\?\)"),
    (["run.resme=must"], r"run.resme: no such option \(did you mean 'run.resume'\?\)"),
    (["+model.width=3"], r"model.width: CSGM takes no such option"),
    (["+trainer.max_epocs=3"], r"trainer.max_epocs: Trainer takes no such option \(did you mean 'max_epochs'\?\)"),
    (["model=gan", "model/prior=mixture"], r"model/prior: this model has no such part; autoencoder, .*csgm, .*vae"),
    (["smaple"], r"cannot read 'smaple': expected option=value \(did you mean 'sample'\?\)"),
    (["seed=[1"], r"cannot read 'seed=\[1': a value with special characters is quoted, .*: \"seed='\[1'\""),
    (["lst"], r"cannot read 'lst': .*did you mean 'list'.* verbs compare, doctor"),
    (["mnist"], r"cannot read 'mnist': expected option=value \(did you mean 'data=mnist'\?\)"),
    (
        ["hardware"],
        r"cannot read 'hardware': expected option=value; hardware=… is one of auto, cpu, gpu, gpu_multi, mps",
    ),
    (
        ["hydra/launcher=slurm"],
        r"no such choice \(did you mean 'submitit_slurm'\?\); there are local, ray, submitit_local",
    ),
    (
        ["hydra/launcher=submitit_local"],
        r"hydra/launcher=submitit_local: this is for a sweep, .* add -m, or leave it out",
    ),
    (["hydra.sweeper.trials=3", "hydra/sweeper=optuna"], r"hydra.*: this is for a sweep, .* add -m, or leave it out"),
    (["model=glob(v*)"], r"model=glob\(v\*\) is several values: add -m to run each"),
    (["+trainer.fast_dev_run=true"], r"trainer.fast_dev_run: .*--dry-run tries some batches and writes nothing"),
    (["--dryrun"], r"unrecognized arguments: --dryrun \(did you mean '--dry-run'\?\)"),
    (["seed=abc"], r"seed: expected an integer .* got 'abc'"),
    (["seed=-1"], r"seed: expected an integer from 0"),
    (["trainer.max_epochs=many"], r"trainer.max_epochs: expected an integer or null, got 'many'"),
    (["trainer.max_epochs=0"], r"trainer.max_epochs: expected at least 1, got 0"),
    (["trainer.max_time=soon"], r"trainer.max_time: expected days:hours:minutes:seconds"),
    (["sample.n=0"], r"sample.n: expected at least 1, got 0"),
    (["sample.n=1.5"], r"sample.n: expected an integer, got 1.5"),
    (["model.ramp=up"], r"model.ramp: expected 'visit', 'training', 'contrast', got 'up'"),
    (["model.code_size=big"], r"model.code_size: expected an integer, got 'big'"),
    (["model.hidden=300"], r"model.hidden: expected .*, got 300"),
    (["model.optimizer._target_=torch.optim.Adamm"], r"torch.optim.Adamm: cannot be imported .*did you mean 'Adam'"),
    (["data.batch_size=0"], r"data.batch_size must be a whole number of at least 1, got 0"),
    (["data.limit=few"], r"data.limit: expected an integer or null, got 'few'"),
    (["data.classes=[3,15]"], r"data.classes: there is no class 15"),
    (["data.validation=5000"], r"data.validation=5000 leaves nothing to train on"),
    (["run.resume=maybe"], r"run.resume: expected one of auto, must, never, got 'maybe'"),
    (["run.name=a/b"], r"run.name: expected a folder's name"),
    (["run.init_from=nowhere"], r"run.init_from=nowhere: expected the folder of a run"),
    (["paths.outputs=a_file"], r"cannot write the run folder a_file.*Not a directory"),
    (["hardware=tpu"], r"hardware=tpu: no such choice"),
    (["hardware.devices=two"], r"hardware.devices: expected a number or auto, got .two."),
    (["model.pixels=0"], r"model.pixels: expected at least 1, got 0"),
    (["model.optimizer.lr=-1"], r"model.optimizer: Invalid learning rate: -1"),
    (
        ["trainer.gradient_clip_val=-1.0"],
        r"trainer.gradient_clip_val: expected at least 0, got -1.0",
    ),
    (["trainer.accumulate_grad_batches=2"], r"trainer.accumulate_grad_batches=2: csgm steps by itself; leave it at 1"),
    (["run.extend=true"], r"model.schedule=cosine falls over the whole budget"),
    (
        ["data=mnist", "paths.data=empty_folder"],
        r"put train-images-idx3-ubyte.* into .*empty_folder/MNIST/raw.*data=digits",
    ),
    (["data=mnist", "paths.data=cut"], r"cut/MNIST/raw/train-images-idx3-ubyte"),
    (["data=mnist", "paths.data=foreign"], r"foreign/MNIST/raw/train-images-idx3-ubyte"),
    (["data=npz", "data.source.path=no_images.npz"], r"no_images.npz.*images"),
    (["data=npz", "data.source.path=floats.npz"], r"floats.npz.*uint8.*float32"),
    (["data=npz", "data.source.path=labels.npz"], r"labels.npz.*30.*29"),
    (["data=npz", "data.source.path=gone.npz"], r"gone.npz"),
    (["data=image_folder", "data.source.path=empty_folder"], r"empty_folder"),
    (["data=image_folder", "data.source.path=pictures"], r"data.resize"),
    (["sample", "nowhere"], r"nowhere: there are no runs in outputs; give a path"),
    (["sample", "empty_folder", "--labels", "two"], r"empty_folder: expected a run folder"),
    (["sample", "nowhere", "--out", "a_file.npz"], r"nowhere: there are no runs in outputs; give a path"),
    (["evaluate", "nowhere.npz", "--out", "a.json"], r"nowhere.npz: there is no such run folder or .npz file"),
    (["sample", "empty_folder", "--out", "a.jpg"], r"expected a name that ends in .png or .npz"),
    (["sample", "empty_folder", "--out", "gone/a.png"], r"--out gone/a.png: there is no folder gone"),
    (["seed=0,1"], r"seed=0,1 is several values: add -m to run each"),
    (["data=npz", "data.source.path=a_file.npz"], r"a_file.npz cannot be read as .npz"),
    (["sample"], r"genrun sample: the following arguments are required: RUN"),
    (
        ["experiment=csgm_minst_paper"],
        r"experiment=csgm_minst_paper: no such choice \(did you mean 'csgm_mnist_paper'\?\)",
    ),
    (["-m", "model=csgm,csgn", "--cfgg"], r"unrecognized arguments: --cfgg"),
]
if not torch.cuda.is_available():
    WRONG.append((["hardware=gpu"], r"hardware.accelerator=gpu: this machine has none .* it has cpu"))
if importlib.util.find_spec("mlflow") is None:
    for words in (["logger=mlflow"], ["logger=mlflow", "--dry-run"]):
        WRONG.append((words, r"logger=mlflow needs the extra mlflow: \S*python\S* -m pip install 'genrun\[mlflow\]'"))


@pytest.mark.parametrize(("arguments", "line"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_a_wrong_command_ends_with_status_2_and_one_readable_line(arguments, line, here, monkeypatch, capsys):
    import re

    before = sorted(here.rglob("*"))
    assert genrun(*arguments, monkeypatch=monkeypatch) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("genrun: ") and printed.err.count("\n") == 1, printed.err
    assert re.search(line, printed.err), printed.err
    assert "Traceback" not in printed.err + printed.out and printed.out == ""
    assert sorted(here.rglob("*")) == before  # nothing was written


def test_a_name_that_holds_another_run_is_refused_with_the_keys_that_differ(here, monkeypatch, capsys):
    assert genrun(*TINY, "run.name=mine", monkeypatch=monkeypatch) == 0
    capsys.readouterr()
    assert genrun(*TINY, "run.name=mine", "seed=3", "model.pixels=9", monkeypatch=monkeypatch) == 2
    assert "holds a run that differs in model.pixels, seed" in capsys.readouterr().err


def test_a_folder_that_another_process_holds_is_refused(here, monkeypatch, capfd):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, "outputs/csgm-digits/held"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    status = genrun(*TINY, "run.name=held", monkeypatch=monkeypatch)
    holder.communicate()
    error = capfd.readouterr().err
    assert status == 2 and f"is being run by process {holder.pid}" in error and error.count("\n") == 1


HOLD = """
import sys
from pathlib import Path
from genrun.runs.folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_deleted_current_folder_is_said_in_one_line(tmp_path, monkeypatch, capsys):
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for arguments in ([], ["sample", "run"], ["-m", "seed=1"]):
        assert genrun(*arguments, monkeypatch=monkeypatch) == 2
        assert "the current folder cannot be read" in capsys.readouterr().err


def test_the_first_interrupt_stops_at_a_batch_and_says_so(here):
    process = command(*TINY, "trainer.max_epochs=100000", cwd=here)
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(2)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == "genrun: stopped by Ctrl-C; the same command goes on from here\n"


def test_a_file_size_limit_of_the_system_ends_with_status_1_and_the_last_checkpoint_whole(here, monkeypatch):
    script = (
        "import resource, sys; sys.argv = ['genrun', *sys.argv[1:]]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (220_000, 220_000))\n"
        "from genrun.cli import main; main()"
    )
    arguments = [*TINY, "sample.n=6000", "run.name=limited"]
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, cwd=here
    )
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr and done.stderr.count("\n") == 1
    folder = here / "outputs" / "csgm-digits" / "limited"
    torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert json.loads((folder / "status.json").read_text())["state"] == "failed"
    assert genrun(*arguments, monkeypatch=monkeypatch) == 0


def test_debug_shows_the_traceback_and_log_txt_keeps_it(here):
    wrong = [*TINY, "model.optimizer.lr=1e30", "run.name=diverging"]
    done = subprocess.run([*GENRUN, *wrong, "--debug"], capture_output=True, text=True, check=False, cwd=here)
    assert done.returncode == 1 and "Traceback" in done.stderr and "NotFinite" in done.stderr
    assert "Traceback" in (here / "outputs/csgm-digits/diverging/log.txt").read_text()


# -------------------------------------------------------------------------------------------------------- quick answers


def test_help_lists_groups_choices_and_five_examples_without_a_slow_import(here):
    script = (
        "import sys; sys.argv = ['genrun', '--help']\n"
        "for slow in 'hydra omegaconf torch pytorch_lightning numpy scipy sklearn matplotlib PIL'.split(): sys.modules[slow] = None\n"
        "from genrun.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for line in (
        "data: celeba, celeba_anime, cifar10, digits, fashion_mnist, image_folder, mnist, mnist_numbers, npz",
        "csgm, csgm_paper, ddpm",
    ):
        assert line in done.stdout
    assert all(f"\n{group}: " in f"\n{done.stdout}" for group in GROUPS)
    examples = done.stdout.partition("Examples\n")[2].partition("\n\n")[0].splitlines()
    assert len(examples) == 5 and all(line.strip().startswith("genrun") for line in examples)


def test_cfg_job_shows_what_would_run_with_the_unread_facts_open(here, monkeypatch, capsys):
    assert genrun("model=csgm", "data=mnist", "--cfg", "job", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "_target_: genrun.methods.csgm.CSGM" in shown and "checksum: ???" in shown
    assert list(here.glob("outputs")) == []


def test_completion_is_hydras(here):
    environment = os.environ | {"COMP_LINE": "genrun data=fash", "COMP_POINT": "16"}
    done = subprocess.run([*GENRUN, "-sc", "query=bash"], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["data=fashion_mnist"]


def test_no_module_of_the_command_line_imports_torch():
    modules = "genrun.cli, genrun.run, genrun.runs.open, genrun.sweeps.sweep"
    script = f"import {modules}, sys; assert not {{'numpy', 'torch', 'pytorch_lightning'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.fixture
def no_torch(monkeypatch, tmp_path) -> None:
    """A process that has not imported torch; importing it is an error."""
    from genrun import run

    def imported() -> None:
        raise AssertionError("torch would be imported")

    monkeypatch.setattr(run, "is_loaded", lambda: False)
    monkeypatch.setattr(run, "load_torch", imported)
    monkeypatch.setenv("GENRUN_CACHE", str(tmp_path / "cache"))  # which has no facts


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("sample.n=100", "100 samples are too few"),
        ("model.code_size=abc", "expected an integer, got 'abc'"),
        ("+model.codesize=3", "CSGM takes no such option (did you mean 'code_size'?)"),
        ("model.optimizer.lr=fast", "expected a number, got 'fast'"),
        ("model._target_=nowhere.Model", "No module named 'nowhere'"),
        ("data.batch_size=0", "at least 1, got 0"),
        ("evaluation.neighbours=0", "expected at least 1, got 0"),
        ("evaluation.epoch_samples=10", "expected more than the 128 features, got 10"),
        ("trainer.max_time=abc", "expected days:hours:minutes:seconds"),
        ("hardware.accelerator=tpu", "expected one of auto, cpu, gpu, cuda, mps, got 'tpu'"),
        ("paths.outputs=a_file/below", "a_file is not a folder; choose another with paths.outputs"),
        ("data=image_folder", "needs a folder, got none"),
        ("data=image_folder data.source.path=empty_folder", "holds no images"),
        ("data=image_folder data.source.path=pictures", "the images differ in size"),
        ("data=npz data.source.path=missing.npz", "missing.npz is missing"),
        ("data=npz data.source.path=a_file.npz", "cannot be read as .npz"),
    ],
)
def test_what_needs_no_torch_is_refused_before_it_is_imported(here, no_torch, monkeypatch, capsys, word, why):
    assert genrun(*word.split(), monkeypatch=monkeypatch) == 2
    shown = capsys.readouterr()
    assert why in shown.err and "would be imported" not in shown.err
    assert shown.out in ("loading torch …\n", "")  # what Hydra's configuration alone tells comes before this line
    assert not Path("outputs").exists()


def test_torch_is_imported_after_a_line_that_says_so(here, no_torch, monkeypatch, capsys):
    genrun("data=digits", "run.debug=true", monkeypatch=monkeypatch)
    shown = capsys.readouterr()
    assert shown.out == "loading torch …\n" and "torch would be imported" in shown.err


def test_a_user_without_a_home_folder_has_no_cache(monkeypatch):
    from genrun.config.compose import compose
    from genrun.parts import cache_folder, read_facts

    def no_home(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    cfg = compose(["data=digits"])
    cfg.paths.cache = "~/.cache/genrun"
    assert read_facts(cfg)[0].train_size == 1300 and not cache_folder(cfg).parent.is_dir()


def test_version_is_that_of_genrun_and_needs_no_library():
    script = (
        "import sys; sys.argv = ['genrun', '--version']\n"
        "for slow in 'hydra omegaconf torch rich yaml numpy'.split(): sys.modules[slow] = None\n"
        "from genrun.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "genrun 0.1.0\n", "")


def test_a_configuration_may_read_what_hydra_knows(here, monkeypatch, capsys):
    (here / "own" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nrun: {name: '${hydra:runtime.choices.model}'}\n"
    (here / "own" / "experiment" / "named.yaml").write_text(text)
    words = ["experiment=named", "--config-dir", "own", *TINY, "--dry-run"]
    assert genrun(*words, monkeypatch=monkeypatch) == 0
    assert "csgm-digits/csgm" in capsys.readouterr().out
