"""Download data sets through torchvision: each file is whole or absent, and an error is one line."""

from __future__ import annotations

import os
import socket
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory

from torchvision.datasets import VisionDataset

from genrun.errors import Refused

SECONDS = 20  # a server that is silent this long counts as absent; without it, a node without network waits for minutes


@contextmanager
def explain_errors(name: str, folder: Path, missing: list[str]) -> Iterator[None]:
    """Turn any error of a download into one line that says which files to put where."""
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        yield
    except (RuntimeError, OSError, EOFError, HTTPException, tarfile.TarError, zlib.error) as error:
        reason = " ".join(str(error).split()).replace("File not found or corrupted.", "a file with a wrong md5")
        raise Refused(
            f"{name} is not there and cannot be downloaded ({reason or type(error).__name__}): put "
            f"{', '.join(missing)} into {folder.absolute()}, or use data=digits, which needs no download"
        ) from None
    finally:
        socket.setdefaulttimeout(patience)


def fetch(dataset: type[VisionDataset], root: Path, files: list[str], archives: list[str]) -> None:
    """Let torchvision download and unpack into a temporary folder beside the data, then move the files into place.

    A process that is killed leaves no half-written file, and all jobs of a sweep may do this at the same time.

    Args:
        dataset: torchvision's class, called as `dataset(root, download=True)`; it checks the archives' md5.
        root: the folder of all data sets.
        files: the files to move into place, relative to `root`.
        archives: the archives, relative to `root`; those that exist already are not downloaded again.
    """
    root.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".download-", dir=root) as temporary:
        for archive in archives:
            if (root / archive).is_file():
                link = Path(temporary, archive)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to((root / archive).absolute())
        dataset(temporary, download=True)
        for file in files:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(temporary, file), root / file)
