"""A write is whole or not there, whatever the disk does."""

from __future__ import annotations

import builtins
import errno
import json
import os
import threading

import numpy as np
import pytest
import torch
from conftest import outcome
from PIL import Image
from safetensors.torch import load_file

from genrun.errors import Failed
from genrun.system import files
from genrun.system.files import open_to_append, read_inside, read_regular, write_atomic


def test_a_write_is_whole_or_not_there(tmp_path, monkeypatch):
    target = tmp_path / "file.json"
    write_atomic(target, "before")

    def broken(_: int) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="no space"):
        write_atomic(target, "after")
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]


def test_the_content_is_on_the_disk_before_the_name_and_then_the_name_is(tmp_path, monkeypatch):
    done, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append(os.readlink(f"/proc/self/fd/{number}")))
    monkeypatch.setattr(os, "replace", lambda *names: done.append("renamed") or replace(*names))
    write_atomic(tmp_path / "file.json", "content")
    assert len(done) == 3 and ".file.json." in done[0] and done[1:] == ["renamed", str(tmp_path)]


def test_only_files_of_the_folder_are_read(tmp_path):
    folder = tmp_path / "run"
    (folder / "samples").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (folder / "file").write_text("own")
    file = folder / "samples" / "final.png"
    for target in (tmp_path / "secret", "../../secret", "final.png", "nowhere"):
        file.symlink_to(target)
        with pytest.raises(OSError):
            read_inside(file, folder, 100)
        file.unlink()
    file.symlink_to("../file")
    assert read_inside(file, folder, 100) == b"own"
    with pytest.raises(OSError, match="larger than 2 bytes"):
        read_inside(file, folder, 2)
    (tmp_path / "link").symlink_to(folder)
    assert read_inside(tmp_path / "link" / "file", tmp_path / "link", 100) == b"own"


# -------------------------------------------------------------------------------------------------------- broken writes


class Faults:
    """Lets the first `after` writes and renames pass, breaks the next one, and all until `healed`."""

    def __init__(self, monkeypatch, after: int) -> None:
        self.count, self.after = 0, after
        self.patch = monkeypatch
        real_replace = os.replace

        def replace(source, target):
            self.step()
            real_replace(source, target)

        def open_(path, mode="r", *arguments, **options):
            file = builtins.open(path, mode, *arguments, **options)  # noqa: SIM115 handed on
            if "w" in mode:
                real_write = file.write
                try:
                    self.step()
                except OSError:
                    real_write(b"half")
                    file.close()
                    raise
            return file

        monkeypatch.setattr(os, "replace", replace)
        monkeypatch.setattr(files, "open", open_, raising=False)

    def step(self) -> None:
        self.count += 1
        if self.count > self.after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def everything_opens(path) -> None:
    """Every file of a run folder is whole."""
    for file in path.rglob("*"):
        if file.is_dir() or file.name in (".lock", "log.txt"):
            continue
        if file.suffix == ".json":
            json.loads(file.read_text())
        elif file.suffix == ".ckpt":
            torch.load(file, weights_only=True)
        elif file.suffix == ".safetensors":
            load_file(file)
        elif file.suffix == ".npz":
            np.load(file)["images" if file.name == "samples.npz" else "codes"]
        elif file.suffix in (".png", ".gif"):
            Image.open(file).load()
        else:
            assert file.suffix in (".yaml", ".csv", ".md", ".patch"), f"what is {file.name}?"
            assert file.read_text().endswith("\n")


def broken_at(points, tiny, tmp_path, monkeypatch) -> None:
    reference = outcome(tiny("trainer.max_epochs=1", outputs=tmp_path / "reference"))
    for after in points:
        outputs = tmp_path / f"broken-{after}"
        with monkeypatch.context() as patch:
            Faults(patch, after)
            with pytest.raises(Failed, match="No space left on device"):
                tiny("trainer.max_epochs=1", outputs=outputs)
        everything_opens(outputs)
        finished = tiny("trainer.max_epochs=1", outputs=outputs)
        everything_opens(outputs)
        assert outcome(finished) == reference


def count_writes(tiny, tmp_path, monkeypatch) -> int:
    tiny("trainer.max_epochs=1", outputs=tmp_path / "first")  # from here on the facts of the data are known
    with monkeypatch.context() as patch:
        faults = Faults(patch, 10**9)
        tiny("trainer.max_epochs=1", outputs=tmp_path / "counted")
    return faults.count


def test_a_full_disk_at_some_writes_leaves_whole_files_and_a_run_that_can_go_on(tiny, tmp_path, monkeypatch):
    total = count_writes(tiny, tmp_path, monkeypatch)
    broken_at(range(0, total, 7), tiny, tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_full_disk_at_each_write_leaves_whole_files_and_a_run_that_can_go_on(tiny, tmp_path, monkeypatch):
    total = count_writes(tiny, tmp_path, monkeypatch)
    broken_at(range(total), tiny, tmp_path, monkeypatch)


# -------------------------------------------------------------------------------------------------------- strangers' files


def test_writing_replaces_a_link_and_leaves_its_target(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "file").symlink_to(tmp_path / "mine")
    write_atomic(tmp_path / "file", "new")
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "file").is_symlink()


def test_a_temporary_file_that_is_there_as_a_link_is_not_written_through(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / f".file.{os.getpid()}.{threading.get_ident()}.tmp").symlink_to(tmp_path / "mine")
    write_atomic(tmp_path / "file", "new")
    assert (tmp_path / "mine").read_text() == "mine" and (tmp_path / "file").read_text() == "new"


def test_appending_follows_no_link_and_waits_for_no_pipe(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError):
            open_to_append(tmp_path / name)
    for line in ("one\n", "twö \udcff\n"):
        with open_to_append(tmp_path / "log.txt") as file:
            file.write(line)
    assert (tmp_path / "mine").read_text() == "mine"
    assert (tmp_path / "log.txt").read_text() == "one\ntwö \\udcff\n"


def test_only_a_regular_file_of_limited_size_is_read(tmp_path):
    (tmp_path / "file").write_text("12345")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(tmp_path / "file", 4)
    for name in ("pipe", "endless", "folder"):
        with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
            read_regular(tmp_path / name, 5)
