"""The git checkout from which the code runs: its commit, and the changes that are not committed."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST_NEW_FILE = 2**20  # bytes; a larger file that git does not know is no code


@dataclass(frozen=True)
class Checkout:
    """A git checkout.

    Args:
        commit: the hash of its commit.
        dirty: whether it has changes, of whatever files.
        patch: the changes of the code, see `uncommitted_changes`; empty if there are none.
    """

    commit: str
    dirty: bool
    patch: bytes

    @property
    def patch_name(self) -> str:
        """Return the name of the file that keeps the patch: a run may be resumed with other changes."""
        return f"uncommitted-{hashlib.sha256(self.patch).hexdigest()[:8]}.patch"

    def to_dict(self) -> dict[str, Any]:
        """Return what provenance.json records."""
        return {"commit": self.commit, "dirty": self.dirty, "patch": self.patch_name if self.patch else None}


def checkout_of(package: Path) -> Checkout | None:
    """Return the checkout of a package, given its folder.

    Returns:
        None if there is none. A package that is installed inside a checkout of something else has none.
    """
    try:
        git("ls-files", "--error-unmatch", "__init__.py", folder=package)
        commit, top = git("rev-parse", "HEAD", "--show-toplevel", folder=package).decode().rstrip("\n").split("\n", 1)
        dirty = bool(git("status", "--porcelain", "--untracked-files=normal", folder=package))
        return Checkout(commit, dirty, patch=uncommitted_changes(package, Path(top)) if dirty else b"")
    except (OSError, subprocess.SubprocessError):
        return None


def uncommitted_changes(package: Path, top: Path) -> bytes:
    """Return the changes of the code since its commit, as a patch for `git apply`: of all tracked files, and new files of the code.

    Args:
        package: the folder of the code. New files are those in it and in the folder `conf` beside it.
        top: the folder of the checkout.

    Raises:
        OSError, subprocess.SubprocessError: git does not answer.
    """
    plain = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
    patch = git("diff", "HEAD", *plain, folder=top)
    code = [str(place) for place in (package, package.parent / "conf") if place.is_dir()]
    new = git("ls-files", "-z", "--others", "--exclude-standard", "--full-name", "--", *code, folder=top)
    for name in filter(None, new.split(b"\0")):
        file = top / os.fsdecode(name)
        if file.is_file() and file.stat().st_size <= LARGEST_NEW_FILE:
            patch += difference_from_nothing(os.fsdecode(name), plain, top)
    return patch


def difference_from_nothing(name: str, options: Sequence[str], top: Path) -> bytes:
    """Return the patch that makes a file which git does not know."""
    try:
        return git("diff", "--no-index", *options, "--", os.devnull, name, folder=top)
    except subprocess.CalledProcessError as different:  # with status 1, because the two differ
        return different.stdout


def git(*arguments: str, folder: Path) -> bytes:
    """Return what git prints about the checkout in a folder.

    Raises:
        OSError, subprocess.SubprocessError: there is no git or no checkout.
    """
    # a git hook sets variables that would lead to another checkout
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-c", "core.quotePath=false", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=10, env=environment).stdout
