"""`genrun doctor`."""

from __future__ import annotations

import json
from importlib import metadata

import pytest
from conftest import genrun

from genrun.config.compose import compose
from genrun.data.places import IDX
from genrun.verbs import doctor
from genrun.verbs.doctor import MISSING, OK, WRONG, Finding, data_sets, extras_found, folders, versions, weights


def states(found) -> dict[str, str]:
    return {finding.name: finding.state for finding in found}


@pytest.fixture
def data(tmp_path) -> str:
    """A folder of data with files of MNIST that are not the official ones, and half of Fashion-MNIST."""
    for name, files in (("MNIST", IDX), ("FashionMNIST", IDX[:2])):
        (tmp_path / name / "raw").mkdir(parents=True)
        for file in files:
            (tmp_path / name / "raw" / file).write_bytes(b"no digits")
    return f"paths.data={tmp_path}"


def test_data_is_found_or_missing_with_what_to_do(data, tmp_path):
    found = {finding.name: finding for finding in data_sets(compose([data]), [data], checksums=False)}
    assert states(found.values())["mnist"] == OK and "not read yet" in found["mnist"].text
    assert (
        found["fashion_mnist"].state == MISSING and "t10k-images-idx3-ubyte, t10k-labels" in found["fashion_mnist"].text
    )
    assert "`genrun data=cifar10` downloads them, or put them there" in found["cifar10"].text
    assert str(tmp_path / "cifar-10-batches-py") in found["cifar10"].text
    assert found["digits"].state == OK and "data.source.path=…" in found["npz"].text


def test_checksums_are_compared_if_asked_for(data):
    found = {finding.name: finding for finding in data_sets(compose([data]), [data], checksums=True)}
    assert found["mnist"].state == found["mnist_numbers"].state == WRONG
    assert all(name in found["mnist"].text for name in IDX) and "delete it and get it again" in found["mnist"].text


def test_a_checksum_that_was_read_before_is_known(monkeypatch, data):
    from genrun.types import Facts

    monkeypatch.setattr("genrun.data.facts.recall", lambda *_: Facts((1, 28, 28), 10, (), 5, "0123456789"))
    found = {finding.name: finding.text for finding in data_sets(compose([data]), [data], checksums=False)}
    assert "checksum 01234567, unchanged since it was read" in found["mnist"]


def test_versions_outside_the_bounds_are_wrong(monkeypatch):
    assert set(states(versions()).values()) == {OK}
    wanted = ["torch>=99", "nowhere-to-be-found>=1", "rich>=1", 'rich>=99; python_version < "3"']
    monkeypatch.setattr("genrun.config.extras.requirements", lambda: wanted)
    found = {finding.name: finding for finding in versions()}
    assert (found["torch"].state, found["rich"].state) == (WRONG, OK) and "expected >=99" in found["torch"].text
    assert found["nowhere-to-be-found"].text == "is not installed: pip install 'nowhere-to-be-found>=1'"


def test_extras_are_missing_with_the_command_that_installs_them(monkeypatch):
    def none(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(doctor.metadata, "version", none)
    found = list(extras_found())
    assert {finding.state for finding in found} == {MISSING} and not {"test", "bench"} & set(states(found))
    assert any(
        "wandb is not installed; the extra wandb: " in finding.text and "[wandb]'" in finding.text for finding in found
    )


def test_weights_are_found_and_damaged_ones_are_wrong_if_checksums_are_asked_for(tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    cfg = compose([f"paths.cache={tmp_path}"])
    assert states(weights(cfg, checksums=True)) == {"Inception": MISSING, "VGG-16": MISSING, "InceptionV3": MISSING}
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vgg16-397923af.pth").write_bytes(b"half")
    assert states(weights(cfg, checksums=False))["VGG-16"] == OK
    assert states(weights(cfg, checksums=True))["VGG-16"] == WRONG


def test_folders_say_where_they_are_and_a_place_that_cannot_be_written_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "facts").write_bytes(bytes(2_000))
    (tmp_path / "file").write_text("no folder")
    cfg = compose([f"paths.cache={tmp_path / 'cache'}", "paths.outputs=file/outputs"])
    found = {finding.name: finding for finding in folders(cfg)}
    assert states(found.values()) == {"paths.outputs": WRONG, "paths.cache": OK, "current folder": OK}
    assert (
        ", 2 kB, " in found["paths.cache"].text and "choose another with paths.outputs=…" in found["paths.outputs"].text
    )
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: Disk)
    assert set(states(folders(cfg)).values()) == {WRONG}


class Disk:
    free = 5_000_000


def test_the_whole_ends_with_0_or_1_and_speaks_json(monkeypatch, capsys, tmp_path):
    assert genrun("doctor", "--json", f"paths.outputs={tmp_path}", monkeypatch=monkeypatch) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"versions", "device", "data", "weights", "folders", "extras"} == {one["group"] for one in found}
    assert {one["state"] for one in found} <= {OK, MISSING}
    (precision,) = (one for one in found if one["name"] == "reduced precision")
    assert "bfloat16" in precision["text"]
    monkeypatch.setattr(doctor, "versions", lambda: iter([Finding("versions", "\x1b[31m", WRONG, "is bad " * 30)]))
    for check in ("device", "data_sets", "weights", "folders"):
        monkeypatch.setattr(doctor, check, lambda *_, **__: iter(()))

    def broken():
        raise ZeroDivisionError("by nothing")
        yield

    monkeypatch.setattr(doctor, "extras_found", broken)
    monkeypatch.setenv("COLUMNS", "80")
    assert genrun("doctor", monkeypatch=monkeypatch) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out and "ZeroDivisionError: by nothing" in out and out.endswith("\n2 wrong\n")
    assert max(map(len, out.splitlines())) <= 80


def test_what_is_wrong_in_the_command_is_one_line(monkeypatch, capsys):
    assert genrun("doctor", "paths.dta=x", monkeypatch=monkeypatch) == 2
    assert "paths.dta: no such option (did you mean 'paths.data'?)" in capsys.readouterr().err
