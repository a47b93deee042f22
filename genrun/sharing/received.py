"""Make a run of a folder that a stranger may have made: only weights, tables, text and a picture are read, and no code."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from genrun.config.trust import TRUSTED_DATA, TRUSTED_RUN, check_trusted_names
from genrun.data.facts import described_data
from genrun.errors import Refused
from genrun.runs.folder import FORMAT, RunFolder
from genrun.runs.open import OpenRun
from genrun.runs.phases import phases_of
from genrun.runs.records import LARGEST_JSON, LARGEST_YAML, PROVENANCE, RESULTS, read_config, read_json
from genrun.sharing.card import table_page
from genrun.system.files import PNG, now, read_regular, write_atomic, write_json

SUMS = "SHA256SUMS"
NEEDED = {"model.safetensors": 2**36, "config.yaml": LARGEST_YAML}  # name → largest size in bytes
WANTED = {"results.json": LARGEST_JSON, "provenance.json": LARGEST_JSON, "samples.png": 2**25}
# What an exported folder has besides, which is not read. Code is not run, so it may lie there.
LEFT = {
    "README.md",
    "LICENSE",
    SUMS,
    "results.md",
    "export.json",
    "constants.safetensors",
    "codes.safetensors",
    "images.png",
    "example.py",
}
LEFT |= {f"{name}{ending}" for name in ("sampler", "sampler_step", "decoder") for ending in (".py", ".onnx")}
HIDDEN = re.compile(r"\.|__pycache__$")  # of git, of a download, of Python
LINE = re.compile(r"([0-9a-f]{64}) [ *]([^/\\]+)")


def check_names(folder: Path) -> list[str]:
    """Check that a folder has what an exported one has, and nothing else.

    Returns:
        The names of the files that will be read.

    Raises:
        Refused: a file is missing, of a kind that is not read, or a link.
    """
    try:
        entries = sorted((one for one in os.scandir(folder) if not HIDDEN.match(one.name)), key=lambda one: one.name)
    except OSError as error:
        raise Refused(f"{folder}: expected a folder that genrun export wrote ({error.strerror})") from None
    if links := [entry.name for entry in entries if entry.is_symlink()]:
        raise Refused(f"{folder}: {', '.join(links)}: a link could lead anywhere; expected files")
    known = NEEDED.keys() | WANTED.keys() | LEFT
    if other := [entry.name for entry in entries if entry.name not in known or not entry.is_file()]:
        raise Refused(
            f"{folder}: {', '.join(other[:10])}: not of an exported folder; only safetensors, YAML, JSON, Markdown and PNG "
            "are read, because a pickle (.ckpt, .pt, .bin, .npz) can run code; move it away if you do not need it"
        )
    there = {entry.name for entry in entries}
    if missing := [name for name in (*NEEDED, SUMS) if name not in there]:
        raise Refused(f"{folder}: expected a folder that genrun export wrote, it has no {', '.join(missing)}")
    return [name for name in (*NEEDED, *WANTED) if name in there]


def copy_checked(folder: Path, names: list[str], to: Path) -> None:
    """Copy files, and check the copies against SHA256SUMS.

    Raises:
        Refused: a file is too large, is not the one that was exported, or cannot be read.
    """
    listed = read_sums(folder / SUMS)
    for name in names:
        if name not in listed:
            raise Refused(f"{folder / SUMS} has no line for {name}")
        digest = copy(folder / name, to / name, (NEEDED | WANTED)[name])
        if digest != listed[name]:
            seen = f"its SHA-256 is {digest[:12]}…, expected {listed[name][:12]}…"
            raise Refused(f"{folder / name} is not the file that was exported: {seen}")


def copy(source: Path, to: Path, limit: int) -> str:
    """Copy a regular file of at most `limit` bytes; return its SHA-256."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file, open(to, "xb") as copied:
            size = os.fstat(descriptor).st_size
            if size > limit:
                raise Refused(f"{source} has {size:,} bytes, expected at most {limit:,}")
            shutil.copyfileobj(file, copied)
        with open(to, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Refused(f"{source} cannot be read ({error.strerror})") from None


def read_sums(file: Path) -> dict[str, str]:
    """Return name → SHA-256 from a file as sha256sum writes it.

    Raises:
        Refused: it cannot be read, or a line has another form.
    """
    try:
        text = read_regular(file, 2**20).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{file} cannot be read ({error})") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = LINE.fullmatch(line)
        if not match:
            raise Refused(f"{file}: line {number}: expected a SHA-256 and the name of a file in this folder")
        found[match[2]] = match[1]
    return found


def receive(folder: Path, outputs: Path, here: dict[str, Any], places: dict[str, str]) -> Path:
    """Make a run folder below `outputs`, whole or not at all; return its path.

    Args:
        here: `paths` of this machine.
        places: options of the data's source that name its place here, such as path.

    Raises:
        Refused: the folder is not as `genrun export` writes it, something in it does not fit together, or the run is there already.
    """
    names = check_names(folder)
    config = read_config(folder)  # its names make the path; it is read again from the copy
    parent = outputs / f"{config.model.name}-{config.data.name}"
    part = parent / f".import.{os.getpid()}.tmp"
    missing = [one for one in (parent, outputs) if not one.exists()]
    try:
        part.mkdir(parents=True)
        try:
            copy_checked(folder, names, part)
            try:
                ids = fill(part, folder, here, places)
            except Refused as error:  # the copy is deleted, and nothing is trusted here
                reason = str(error).replace(str(part), str(folder)).partition("; if you trust")[0]
                raise Refused(reason) from None
            run = parent / f"imported-{ids}"
            if run.exists():
                raise Refused(f"{run} is there already; `genrun rm {run}` deletes it")
            os.rename(part, run)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            for one in missing:
                with contextlib.suppress(OSError):
                    one.rmdir()  # only if it is empty, as after a refusal
    except OSError as error:
        raise Refused(f"cannot write below {outputs}: {error.strerror or error}") from error
    return run


def fill(part: Path, folder: Path, here: dict[str, Any], places: dict[str, str]) -> str:
    """Check the copied files, and make them the files of a run; return the run's id.

    Raises:
        Refused: a record has another form, a class is not genrun's or torch's, or the weights do not fit the configuration.
    """
    config = read_config(part)
    described = OmegaConf.to_container(config)
    for section, trusted in TRUSTED_RUN.items():
        if section != "data":
            check_trusted_names(described[section], section, trusted)
    check_trusted_names(described_data(config), "data", TRUSTED_DATA)
    if described.get("logger"):
        raise Refused(f"{folder}: config.yaml has a logger; an exported one has none")
    OpenRun(part).method()  # builds and loads it, so that what does not fit is refused here
    described["paths"] = here
    source = described["data"]["source"]
    for key in source.keys() & {"root", "path", "anime"}:
        if source[key] is None:
            source[key] = places.get(key, here["data"] if key == "root" else "")
    write_atomic(part / "config.yaml", yaml.safe_dump(described, sort_keys=False, allow_unicode=True))
    run = RunFolder(part)
    provenance = optional(part / "provenance.json", PROVENANCE)
    results = optional(part / "results.json", RESULTS)
    words = provenance.get("overrides", [])
    ids = {"id": provenance.get("id")} | {key: provenance[key] for key in ("group_id",) if key in provenance}
    for key, value in ids.items():
        if not re.fullmatch(r"[0-9a-f]{8}", str(value)):
            raise Refused(f"{folder}/provenance.json: {key}: expected 8 hexadecimal digits, got {str(value)[:60]}")
    write_atomic(part / "overrides.yaml", yaml.safe_dump(words, allow_unicode=True))
    if results:
        write_atomic(part / "results.md", table_page(results))
    for made in (run.checkpoints, run.samples, run.figures):
        made.mkdir()
    if (part / "samples.png").exists():
        if not read_regular(part / "samples.png", WANTED["samples.png"]).startswith(PNG):
            raise Refused(f"{folder}/samples.png is no PNG")
        os.rename(part / "samples.png", run.samples / "final.png")
    stage = {"key": "imported", "ended": now(), "outputs": ["model.safetensors"]}
    imported = {"from": str(folder.resolve()), "exported": str(provenance.get("exported", ""))}
    status = {
        "format": FORMAT,
        "state": "done",
        "stages": {phases_of(config)[-1].stage: stage},
        "attempts": [{"started": now(), "ended": now(), "state": "done"}],
        "error": None,
        "error_kind": None,
        **ids,
        "imported": imported,
    }
    write_json(part / "status.json", status)
    return ids["id"]


def optional(file: Path, form: Any) -> dict[str, Any]:
    """Return a JSON record; empty if there is none.

    Raises:
        Refused: it has another form.
    """
    try:
        return read_json(file, form, "export it again")
    except FileNotFoundError:
        return {}
