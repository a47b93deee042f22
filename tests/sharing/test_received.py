"""What a stranger's folder may be, and what is refused of it; a run made of it is used as any other."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.runs import change_json, unpack
from PIL import Image
from safetensors.torch import load_file, save_file

from genrun.errors import Refused
from genrun.inference import balanced_labels
from genrun.runs.find import find_run
from genrun.runs.folder import RunFolder
from genrun.runs.open import open_run
from genrun.runs.phases import is_trained
from genrun.runs.summary import read_summary, runs_below
from genrun.sharing import received
from genrun.sharing.folder import export, sums
from genrun.sharing.received import receive
from genrun.verbs import rm

HERE = {"data": "data", "outputs": "outputs", "cache": "cache"}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return unpack(tmp_path_factory.mktemp("outputs"))


@pytest.fixture(scope="module")
def exported(original, tmp_path_factory) -> dict[str, bytes]:
    """The files of an exported folder."""
    out = tmp_path_factory.mktemp("exported") / "out"
    run = open_run(original.path)
    export(run, run.method(), out, license="mit", onnx=False)
    return {file.name: file.read_bytes() for file in out.iterdir()}


@pytest.fixture
def folder(exported, tmp_path) -> Path:
    """A copy of the exported folder, to damage."""
    folder = tmp_path / "from_a_stranger"
    folder.mkdir()
    for name, content in exported.items():
        (folder / name).write_bytes(content)
    return folder


def signed(folder: Path) -> Path:
    """Write the checksums anew, as a stranger would who changed the files."""
    (folder / "SHA256SUMS").write_text(sums(file for file in sorted(folder.iterdir()) if file.name != "SHA256SUMS"))
    return folder


def refused(folder: Path, match: str) -> None:
    """Check that the folder is refused and nothing of it is left."""
    outputs = folder.parent / "outputs"
    with pytest.raises(Refused, match=match):
        receive(folder, outputs, HERE, {})
    assert not [file for file in outputs.rglob("*") if file.is_file()]
    assert not outputs.exists()


def test_the_run_is_used_as_any_other(original, folder, tmp_path):
    run = receive(folder, tmp_path / "outputs", HERE, {})
    assert run == tmp_path / "outputs" / "autoencoder-digits" / f"imported-{original.status()['id']}"
    first, opened = open_run(original.path), open_run(run)
    drawn = [
        one.method().sample(10, balanced_labels(10, 10), generator=torch.Generator().manual_seed(0))
        for one in (first, opened)
    ]
    assert torch.equal(*drawn)
    assert opened.folder.results()["rows"] == first.folder.results()["rows"]
    assert opened.status["imported"]["from"] == str(folder) and opened.status["state"] == "done"
    assert is_trained(opened.config, opened.status) and opened.config.paths.data == "data"
    (listed,), broken = runs_below(tmp_path / "outputs")
    assert not broken and listed.state == "done" and listed.id == original.status()["id"]
    assert find_run(listed.id[:5], tmp_path / "outputs") == run
    assert sorted(file.name for file in run.iterdir()) == [
        "checkpoints",
        "config.yaml",
        "figures",
        "model.safetensors",
        "overrides.yaml",
        "provenance.json",
        "results.json",
        "results.md",
        "samples",
        "status.json",
    ]
    export(opened, opened.method(), tmp_path / "again", license="mit", onnx=False)  # and given on
    again = {file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()}
    assert again["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert again["config.yaml"] == (folder / "config.yaml").read_bytes()
    with pytest.raises(Refused, match="is there already; `genrun rm"):
        receive(folder, tmp_path / "outputs", HERE, {})


def test_the_data_s_place_is_that_of_this_machine(folder, tmp_path):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["data"]["source"] |= {"_target_": "genrun.data.arrays.npz", "path": None, "root": None}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    run = receive(signed(folder), tmp_path / "outputs", HERE, {"path": "mine.npz"})
    source = open_run(run).config.data.source
    assert source.path == "mine.npz" and source.root == "data"


def test_what_lies_beside_is_not_read(folder, tmp_path):
    (folder / ".cache").mkdir()
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs")
    (folder / "__pycache__").mkdir()
    (folder / "README.md").write_text("another text, as the Hub lets one write it")
    (folder / "example.py").write_text("raise SystemExit('code of a stranger ran')")
    run = receive(folder, tmp_path / "outputs", HERE, {})
    assert not list(run.rglob("*.py")) and not list(run.rglob("README.md"))


@pytest.mark.parametrize(
    "name", ["last.ckpt", "model.pt", "pytorch_model.bin", "codes.npz", "a.pkl", "hidden.safetensors", "x.yaml"]
)
def test_other_files_are_refused_by_name(folder, name):
    (folder / name).write_bytes(pickle.dumps(print))
    refused(
        signed(folder), f"{name}: not of an exported folder; only safetensors, YAML, JSON, Markdown and PNG are read"
    )


def test_folders_links_and_pipes_are_refused(folder, tmp_path):
    (folder / "more").mkdir()
    refused(folder, "more: not of an exported folder")
    (folder / "more").rmdir()
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (folder / "results.json").unlink()
    (folder / "results.json").symlink_to(secret)
    refused(signed(folder), "results.json: a link could lead anywhere")
    (folder / "results.json").unlink()
    os.mkfifo(folder / "results.json")
    refused(folder, "results.json: not of an exported folder")


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors", "SHA256SUMS"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    refused(folder, f"expected a folder that genrun export wrote, it has no {name}")


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors", "results.json", "provenance.json", "samples.png"])
def test_a_changed_file_is_refused(folder, name):
    with open(folder / name, "ab") as file:
        file.write(b"\n")
    refused(folder, f"{name} is not the file that was exported: its SHA-256 is")


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("0" * 64 + "  ../../secret", "expected a SHA-256 and the name"),
        ("hello", "line 1: expected"),
        ("", "has no line for"),
    ],
    ids=["path", "text", "empty"],
)
def test_wrong_sums_are_refused(folder, line, match):
    (folder / "SHA256SUMS").write_text(line)
    refused(folder, match)


def change(folder: Path, **sections) -> Path:
    """Change sections of config.yaml, with right checksums."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    for section, changes in sections.items():
        config[section] = {**config[section], **changes}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return signed(folder)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"model": {"encoder": {"_target_": "os.system", "command": "touch ran"}}},
            r"_target_=os.system: expected a class of",
        ),
        ({"data": {"source": {"_target_": "builtins.eval"}}}, r"builtins.eval: expected a class of"),
        (
            {"callbacks": {"training": {}, "watching": {"a": {"_target_": "subprocess.run"}}}},
            "subprocess.run: expected a class",
        ),
        ({"evaluation": {"_target_": "subprocess.run"}}, "subprocess.run: expected a class"),
        ({"logger": {"a": {"_target_": "subprocess.run"}}}, "config.yaml has a logger"),
        ({"model": {"name": "../../elsewhere"}}, "model.name"),
        ({"model": {"code_size": 5}}, "weights of another model"),
        ({"model": {"code_size": 10**9}}, "overflowed"),
        (
            {"data": {"source": {"_target_": "genrun.data.sources.digits", "root": "${oc.env:HOME}"}}},
            "without interpolation",
        ),
    ],
    ids=["model", "data", "callback", "judge", "logger", "name", "size", "huge", "interpolation"],
)
def test_a_configuration_that_would_do_more_is_refused(folder, changes, match, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(change(folder, **changes), match)
    assert not Path("ran").exists()


@pytest.mark.parametrize("damage", ["nan", "other", "text"])
def test_weights_that_do_not_fit_are_refused(folder, damage):
    file = folder / "model.safetensors"
    weights = load_file(file)
    name = next(iter(weights))
    if damage == "text":
        file.write_bytes(b"no weights")
    else:
        weights[name] = weights[name] * float("nan") if damage == "nan" else torch.zeros(3)
        save_file(weights, file)
    refused(signed(folder), {"nan": "are NaN", "other": "weights of another model", "text": "cannot be read"}[damage])


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("results.json", '{"title": "x", "rows": "all"}', "results.json is not the record of a run"),
        (
            "provenance.json",
            '{"machine": {}, "versions": {}, "resumed": [], "id": "../../x"}',
            "expected 8 hexadecimal digits",
        ),
        (
            "provenance.json",
            '{"machine": {}, "versions": {}, "resumed": [], "overrides": [{}]}',
            "overrides.0: expected str",
        ),
        (
            "provenance.json",
            '{"machine": {}, "versions": {}, "resumed": [], "left_out": [{}]}',
            "left_out.0: expected str",
        ),
        ("samples.png", "<svg onload=alert(1)>", "is no PNG"),
    ],
    ids=["results", "id", "overrides", "left out", "picture"],
)
def test_records_of_another_form_are_refused(folder, name, content, match):
    (folder / name).write_text(content)
    refused(signed(folder), match)


def test_a_table_with_escapes_is_harmless(folder, tmp_path):
    text = (folder / "results.json").read_text().replace('"title": "', '"title": "\\u001b[2J')
    (folder / "results.json").write_text(text)
    run = receive(signed(folder), tmp_path / "outputs", HERE, {})
    assert "\x1b" not in (run / "results.md").read_text()
    assert read_summary(run).results["title"].startswith("\x1b[2J")  # as it came; whoever prints it writes escapes out


def test_a_table_with_markup_is_harmless(folder, tmp_path):
    def spoil(content):
        content["title"] = "x\n<img src=x>"
        content["rows"][0] |= {"name": "a\n\n# Heading\n![x](http://x)", "note": "<script>", "value": 1.0}

    change_json(RunFolder(folder), "results.json", spoil)
    run = receive(signed(folder), tmp_path / "outputs", HERE, {})
    text = (run / "results.md").read_text()
    assert "<" not in text and "\n# Heading" not in text and "![" not in text
    assert text.startswith("# x &lt;img src=x&gt;\n") and "| a # Heading !\\[x](http://x) ↓ | 1 |" in text


def test_an_imported_run_can_be_deleted(folder, tmp_path):
    run = receive(folder, tmp_path / "outputs", HERE, {})
    assert rm.main([str(run), "--yes"]) == 0 and not run.exists()


def test_a_refusal_leaves_folders_that_were_there(folder, tmp_path):
    (folder / "samples.png").write_text("no picture")
    there = tmp_path / "outputs" / "autoencoder-digits"
    there.mkdir(parents=True)
    with pytest.raises(Refused, match="is no PNG"):
        receive(signed(folder), there.parent, HERE, {})
    assert there.is_dir() and not list(there.iterdir())


def test_a_pickled_array_is_never_loaded(folder):
    """An .npz with objects is refused by its name, whatever it is called in the sums."""
    content = io.BytesIO()
    np.savez(content, images=np.array([{}], dtype=object))
    (folder / "samples.npz").write_bytes(content.getvalue())
    refused(signed(folder), "samples.npz: not of an exported folder")


def test_too_large_a_file_is_refused(folder, monkeypatch):
    monkeypatch.setitem(received.WANTED, "samples.png", 100)
    Image.effect_noise((64, 64), 50).save(folder / "samples.png")
    refused(signed(folder), "samples.png has .* bytes, expected at most 100")
