"""The code that made a run can be had again: its commit, and a patch of what was not committed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from genrun.runs.checkout import checkout_of


def git(folder: Path, *arguments: str) -> bytes:
    identity = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True).stdout


@pytest.fixture
def package(tmp_path) -> Path:
    """A package in a checkout, all of it committed."""
    (package := tmp_path / "top" / "genrun").mkdir(parents=True)
    (package.parent / "conf").mkdir()
    (package / "__init__.py").write_text("one = 1\n")
    (package / "picture.png").write_bytes(bytes(range(256)))
    git(package.parent, "init", "-q")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-q", "-m", "first")
    return package


def test_a_clean_checkout_has_no_patch(package):
    checkout = checkout_of(package)
    assert checkout.commit == git(package, "rev-parse", "HEAD").decode().strip()
    assert checkout.to_dict() == {"commit": checkout.commit, "dirty": False, "patch": None}


def test_a_new_file_counts_whatever_git_shows_by_default(package):
    git(package, "config", "status.showUntrackedFiles", "no")
    (package / "new.py").write_text("new = True\n")
    assert checkout_of(package).dirty and b"new = True" in checkout_of(package).patch


def test_the_patch_makes_the_same_code_from_the_commit(package, tmp_path):
    git(package, "config", "diff.noprefix", "true")
    git(package, "config", "color.ui", "always")
    (package / "__init__.py").write_text("one = 2\nlatin = 'ä'\n")
    (package / "picture.png").write_bytes(bytes(range(255, -1, -1)))
    (package / "ü new.py").write_text("new = True\n")
    (package.parent / "conf" / "new.yaml").write_text("a: 1\n")
    (package.parent / "notes.txt").write_text("no code\n")
    (package / "large.bin").write_bytes(b"0" * (2**20 + 1))
    git(package, "add", "__init__.py")  # in the index, but not committed
    checkout = checkout_of(package)
    assert checkout.dirty and checkout.to_dict()["patch"] == checkout.patch_name
    (tmp_path / checkout.patch_name).write_bytes(checkout.patch)
    git(tmp_path, "clone", "-q", str(package.parent), "clone")
    git(clone := tmp_path / "clone", "apply", "--binary", str(tmp_path / checkout.patch_name))
    for name in ("genrun/__init__.py", "genrun/picture.png", "genrun/ü new.py", "conf/new.yaml"):
        assert (clone / name).read_bytes() == (package.parent / name).read_bytes()
    assert not (clone / "notes.txt").exists() and not (clone / "genrun/large.bin").exists()


def test_a_package_installed_inside_another_checkout_has_none(package):
    (other := package.parent / "site-packages" / "genrun").mkdir(parents=True)
    (other / "__init__.py").touch()
    assert checkout_of(other) is None


def test_a_package_outside_any_checkout_has_none(tmp_path):
    (tmp_path / "__init__.py").touch()
    assert checkout_of(tmp_path) is None


def test_the_variables_of_a_git_hook_do_not_lead_to_another_checkout(package, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert checkout_of(package) is not None
