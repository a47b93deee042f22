"""What an exported folder holds, that it tells nothing of the machine, and that others can use it without genrun."""

from __future__ import annotations

import getpass
import hashlib
import json
import re
import runpy
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from helpers.runs import change_config, change_json, unpack
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file

from genrun.errors import Refused
from genrun.runs.open import open_run
from genrun.sharing import folder as sharing
from genrun.sharing.folder import export
from genrun.system.files import PNG

FILES = {
    "README.md",
    "SHA256SUMS",
    "config.yaml",
    "example.py",
    "export.json",
    "model.safetensors",
    "provenance.json",
    "results.json",
    "results.md",
    "sampler.py",
    "samples.png",
}


def exported(path: Path, out: Path, *, onnx: bool = False, license: str = "unknown") -> dict:
    run = open_run(path)
    return export(run, run.method(), out, license=license, onnx=onnx)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished autoencoder whose records name a user's folders."""
    folder = unpack(tmp_path_factory.mktemp("outputs"))
    change_config(folder, "paths.data", "/home/alice/data")
    change_config(folder, "run.name", "for-bob")
    change_json(
        folder, "provenance.json", lambda content: content["overrides"].append("data.source.root=/home/alice/data")
    )
    change_json(folder, "provenance.json", lambda content: content["command"].append("--config-dir=/home/alice/conf"))
    change_json(
        folder, "provenance.json", lambda content: content["machine"].update(system="Linux-6.1-of-alice-x86_64")
    )
    return folder


@pytest.fixture(scope="module")
def out(run, tmp_path_factory) -> Path:
    """Its folder for others."""
    out = tmp_path_factory.mktemp("exported") / "autoencoder"
    exported(run.path, out, license="cc-by-4.0")
    return out


def test_the_files(run, out):
    assert {file.name for file in out.iterdir()} == FILES
    mine, theirs = load_file(run.weights), load_file(out / "model.safetensors")
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=out, check=True)
    assert len((out / "SHA256SUMS").read_text().splitlines()) == len(FILES) - 1


def test_nothing_names_the_machine_its_user_or_their_folders(run, out):
    texts = {file.name: file.read_text() for file in out.iterdir() if file.suffix in {".md", ".json", ".yaml", ".py"}}
    record = json.loads((run.path / "provenance.json").read_text())
    private = ["alice", "for-bob", str(run.path.parent), socket.gethostname(), record["machine"]["system"]]
    for name, text in texts.items():
        # a short name of a machine or user may be a part of any word
        found = [
            word
            for word in [*private, str(Path.home()) + "/", getpass.getuser() + "@"]
            if len(word) > 3 and word in text
        ]
        assert not found, name
    left = json.loads(texts["provenance.json"])["left_out"]
    assert {"command", "config: paths", "config: run.name", "overrides: data.source.root"} <= set(left)
    config = yaml.safe_load(texts["config.yaml"])
    assert config["paths"] == {} and config["model"] == yaml.safe_load((run.path / "config.yaml").read_text())["model"]


def test_the_hub_reads_the_card(run, out):
    card = ModelCard.load(out / "README.md")
    assert card.data.license == "cc-by-4.0" and card.data.library_name == "genrun"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    rows = {row["name"]: row["value"] for row in run.results()["rows"] if isinstance(row["value"], int | float)}
    assert {result.metric_name: result.metric_value for result in card.data.eval_results} == rows
    assert {result.dataset_type for result in card.data.eval_results} == {"digits"}
    assert ModelCard(str(card)).data.to_dict() == card.data.to_dict()


def test_the_example_draws_the_run_s_images_without_genrun(run, out, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.partition(".")[0] == "genrun"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "genrun", None)  # importing it raises
    monkeypatch.syspath_prepend(out)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    space = runpy.run_path(str(out / "example.py"), run_name="__main__")
    assert Path("images.png").is_file() and "genrun" in sys.modules and sys.modules["genrun"] is None
    drawn = space["draw"](6, torch.tensor([0, 1, 2, 3, 4, 5]), seed=3)
    monkeypatch.undo()
    del sys.modules["sampler"]

    method = open_run(run.path).method()
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(6)
    noise = torch.randn(6, method.prior.size, generator=generator)
    torch.testing.assert_close(drawn, method.exported_program().module(noise=noise, labels=labels), rtol=0, atol=1e-6)
    assert drawn.shape == (6, 1, 8, 8) and drawn.std() > 0.05


def test_hostile_records_are_written_out(run, tmp_path):
    folder = unpack(tmp_path / "outputs")

    def spoil(content):
        content["title"] = "\x1b[2J<script>alert(1)</script>"
        content["rows"][0] |= {"name": "<img src=x onerror=alert(1)>", "note": "\x1b]0;owned\x07 | --- |"}

    change_json(folder, "results.json", spoil)
    exported(folder.path, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    body = text.split("---\n", 2)[2]
    assert "<script>" not in text and "<img" not in body and "\x1b" not in text
    assert (
        ModelCard.load(tmp_path / "out" / "README.md").data.eval_results[0].metric_name.startswith("<img")
    )  # a text of YAML
    assert "\x1b" not in (tmp_path / "out" / "results.md").read_text()


def test_a_stranger_s_texts_stay_in_their_places(run, tmp_path):
    folder = unpack(tmp_path / "outputs")
    name = "a\n---\n# Heading\n<img src=x> ![x](http://x) \\[x](http://x)"

    def spoil(content):
        content["title"] = "results\n<script>"
        content["rows"][0] |= {"name": name, "value": 1.0, "note": "one\n\n## Two | [x](http://x)"}
        content["rows"][1] |= {"name": "b " * 60 + "\u2028--- c", "value": 2.0}

    change_json(folder, "results.json", spoil)
    change_json(folder, "provenance.json", lambda content: content["overrides"].append("a=b\n# Heading"))
    change_json(folder, "provenance.json", lambda content: content["versions"].update(torch="2\n# Heading [x](y)"))
    exported(folder.path, tmp_path / "out")
    read = ModelCard.load(tmp_path / "out" / "README.md")
    assert read.data.eval_results[0].metric_name == " ".join(name.split())
    assert len(read.data.eval_results) == sum(isinstance(row["value"], int | float) for row in folder.results()["rows"])
    headings = [line for line in str(read).splitlines() if line.startswith("#")]
    assert headings[1:] == ["## Use", "## Results", "## Made by", "## Files"]
    for text in (
        re.sub(r"(?m)^    genrun .*$", "", read.text).replace(
            "![samples, not selected](samples.png)", ""
        ),  # without code
        (tmp_path / "out" / "results.md").read_text(),
    ):
        assert "<" not in text and not re.search(r"(?<!\\)(\\\\)*\[", text)  # no link begins
        (row,) = [line for line in text.splitlines() if "&lt;img src=x&gt;" in line]
        assert row.startswith("| a --- # Heading ") and row.count("|") == 6 and "one ## Two ∣" in row


def test_a_link_out_of_the_run_is_not_copied(run, tmp_path):
    folder = unpack(tmp_path / "outputs")
    secret, grid = tmp_path / "id_rsa", folder.samples / "final.png"
    secret.write_bytes(PNG + b"a key")
    for number, target in enumerate((secret, "../config.yaml")):  # out of the folder, and no picture
        grid.unlink()
        grid.symlink_to(target)
        exported(folder.path, tmp_path / f"out{number}")
        with Image.open(tmp_path / f"out{number}" / "samples.png") as drawn:
            assert drawn.format == "PNG" and drawn.width > 80
            drawn.load()


def test_a_run_without_a_group_is_exported(run, tmp_path):
    folder = unpack(tmp_path / "outputs")
    change_json(folder, "status.json", lambda content: content.pop("group_id"))
    exported(folder.path, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert record["id"] == folder.status()["id"] and "group_id" not in record


def test_a_run_without_results_is_exported(run, tmp_path):
    folder = unpack(tmp_path / "outputs")
    for name in ("results.json", "samples/final.png"):
        (folder.path / name).unlink()
    exported(folder.path, tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES - {"results.json", "results.md"}
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert card.data.eval_results is None and "not judged" in card.content


def test_onnx_that_is_too_far_is_not_kept(run, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "onnx_of", lambda traced, outputs: b"a model")
    monkeypatch.setattr(sharing, "largest_error", lambda program, model: 2e-3)
    described = exported(run.path, tmp_path / "out", onnx=True)
    assert described["onnx"] is None and described["why_not"] == "it differs from torch by 2.0e-03, more than 1e-04"
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES
    assert "There is no ONNX file: it differs from torch" in (tmp_path / "out" / "README.md").read_text()
    monkeypatch.setattr(sharing, "largest_error", lambda program, model: 2e-7)
    described = exported(run.path, tmp_path / "again", onnx=True)
    assert described["onnx"]["largest_error"] == 2e-7
    assert {file.name for file in (tmp_path / "again").iterdir()} == FILES | {"sampler.onnx"}
    assert "at most 2.0e-07" in (tmp_path / "again" / "README.md").read_text()


def too_large(*_, **__):
    raise ValueError("Message onnx.ModelProto exceeds maximum protobuf size of 2GB: 3\nat /home/alice/model.py")


@pytest.mark.parametrize("fails", ["writing", "loading", "running"])
def test_what_onnx_raises_takes_one_line_and_the_rest_is_kept(run, tmp_path, monkeypatch, fails):
    import onnxruntime

    converted = SimpleNamespace(model_proto=SimpleNamespace(SerializeToString=lambda: b"no model"))
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: converted)
    if fails == "writing":
        converted.model_proto.SerializeToString = too_large
    elif fails == "running":
        monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: SimpleNamespace(run=too_large))
    described = exported(run.path, tmp_path / "out", onnx=True)
    expected = {
        "writing": "it cannot be written as ONNX (Message onnx.ModelProto exceeds maximum protobuf size of 2GB: 3 at …)",
        "loading": "onnxruntime cannot load it (",
        "running": "onnxruntime cannot run it (Message onnx.ModelProto exceeds",
    }
    assert described["onnx"] is None and described["why_not"].startswith(expected[fails])
    assert "\n" not in described["why_not"] and "alice" not in described["why_not"]
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES


def test_a_program_that_torch_cannot_trace_is_none(run, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError('data-dependent """ \\U in\n/home/alice/method.py')

    monkeypatch.setattr(torch.export, "export", fail)
    described = exported(run.path, tmp_path / "out", onnx=True)
    assert described["program"] is None and described["why_not"].startswith("torch.export cannot trace ")
    assert "alice" not in "".join(file.read_text() for file in (tmp_path / "out").glob("*.[jmp]*[ndy]"))
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES - {"sampler.py"}
    compile((tmp_path / "out" / "example.py").read_text(), "example.py", "exec")


def test_a_method_without_a_program_says_why(run, tmp_path, monkeypatch):
    from genrun.methods.autoencoder import Autoencoder

    monkeypatch.setattr(Autoencoder, "exported_program", None)
    monkeypatch.setattr(sharing, "Exports", type("Nobody", (), {}))
    described = exported(run.path, tmp_path / "out", onnx=True)
    assert described["program"] is None and described["why_not"].startswith("Autoencoder has no exported_program")
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES - {"sampler.py"}
    monkeypatch.chdir(tmp_path)
    images = runpy.run_path(str(tmp_path / "out" / "example.py"))["draw"](4, seed=1)
    expected = open_run(run.path).method().sample(4, torch.arange(4), generator=torch.Generator().manual_seed(1))
    assert torch.equal(images, expected)


@pytest.mark.parametrize("fails", ["write_program", "card", "sums"])
def test_whole_or_not_at_all(run, tmp_path, monkeypatch, fails):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sharing, fails, full)
    with pytest.raises(Refused, match=r"cannot write .*out: No space left on device"):
        exported(run.path, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_sums_are_those_of_sha256sum(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sharing.sums([tmp_path / "a"]) == f"{hashlib.sha256(b'abc').hexdigest()}  a\n"
