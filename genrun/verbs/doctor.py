"""`genrun doctor`: what is there, what is missing with the command that gets it, and what is wrong."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from omegaconf import DictConfig
from packaging.requirements import Requirement
from rich.text import Text

import genrun
from genrun.errors import Refused, one_line, printable
from genrun.system.console import print_json, say, screen, size_text
from genrun.verbs.arguments import Arguments

OK, MISSING, WRONG = "ok", "missing", "wrong"
COLOURS = {OK: "green", MISSING: "yellow", WRONG: "bold red"}
LEAST_FREE = 10**9  # bytes; a full disk ends a run
FOR_DEVELOPERS = ("test", "bench")  # extras that no run needs


class Finding(NamedTuple):
    """What was found of one thing."""

    group: str
    name: str
    state: Literal["ok", "missing", "wrong"]
    text: str


def main(arguments: list[str]) -> int:
    """Print all findings; return 1 if something is wrong. What is missing and optional is not wrong."""
    parser = Arguments(
        "genrun doctor",
        description="Check what runs need: versions, device, data, weights, caches, disks, extras. Exit status 1: something is wrong.",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="option=value", help="such as paths.data=FOLDER or hardware=cpu"
    )
    parser.add_argument("--checksums", action="store_true", help="read all data files and compare their checksums")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_intermixed_args(arguments)

    from genrun.config.compose import compose

    cfg = compose(asked.overrides)
    found: list[Finding] = []
    console, group = screen(), ""
    for finding in findings(cfg, asked.overrides, checksums=asked.checksums):
        found.append(finding)
        if not asked.json:
            if finding.group != group:
                say(console, f"{'' if not group else chr(10)}{finding.group}")
                group = finding.group
            for line in lines(finding, min(console.width, 120)):
                console.print(line, soft_wrap=True, highlight=False)
    wrong = sum(finding.state == WRONG for finding in found)
    if asked.json:
        print_json([finding._asdict() for finding in found])
    else:
        say(console, f"\n{f'{wrong} wrong' if wrong else 'nothing is wrong'}")
    return 1 if wrong else 0


def lines(finding: Finding, width: int) -> Iterator[Text]:
    """Yield the lines of a finding: its state, its name, and the text, which goes on below itself."""
    indent = 30
    for place, line in enumerate(
        textwrap.wrap(printable(finding.text), width - indent, break_on_hyphens=False, break_long_words=False) or [""]
    ):
        if place:
            yield Text(f"{'':{indent}}{line}")
        else:
            yield Text.assemble(
                (f"  {finding.state:8}", COLOURS[finding.state]), f"{printable(finding.name):{indent - 11}} {line}"
            )


def findings(cfg: DictConfig, overrides: list[str], *, checksums: bool) -> Iterator[Finding]:
    """Yield all findings; an error of one check is a finding too."""
    parts: dict[str, Callable[[], Iterator[Finding]]] = {
        "versions": versions,
        "device": lambda: device(cfg),
        "data": lambda: data_sets(cfg, overrides, checksums=checksums),
        "weights": lambda: weights(cfg, checksums=checksums),
        "folders": lambda: folders(cfg),
        "extras": extras_found,
    }
    for group, check in parts.items():
        try:
            yield from check()
        except Exception as error:  # whatever is broken on this machine, the other checks go on
            yield Finding(group, group, WRONG, f"{type(error).__name__}: {one_line(error)}")


def versions() -> Iterator[Finding]:
    """Check genrun, Python, and the version of each package that genrun needs."""
    from genrun.config.extras import requirements

    yield Finding("versions", "genrun", OK, f"{genrun.__version__}, {Path(genrun.__file__).parent}")
    yield Finding("versions", "Python", OK, platform.python_version())
    for text in requirements():
        wanted = Requirement(text)
        if wanted.marker and not wanted.marker.evaluate():
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield Finding("versions", wanted.name, WRONG, f"is not installed: pip install '{wanted}'")
            continue
        fits = wanted.specifier.contains(version, prereleases=True)
        state, more = (OK, "") if fits else (WRONG, f", expected {wanted.specifier}: pip install '{wanted}'")
        yield Finding("versions", wanted.name, state, f"{version}{more}")


def device(cfg: DictConfig) -> Iterator[Finding]:
    """Check the device, the threads, and the arithmetic in reduced precision."""
    import torch
    from torch import nn

    from genrun.system.arithmetic import fault_of
    from genrun.system.hardware import check_device, computes_bfloat16, cores, device_of, devices_here
    from genrun.system.threads import set_threads

    try:
        check_device(cfg)
        yield Finding(
            "device",
            "devices",
            OK,
            f"{devices_here()}; hardware.accelerator={cfg.hardware.accelerator}: {device_of(cfg)}",
        )
    except Refused as error:
        yield Finding("device", "devices", WRONG, one_line(error))
    set_threads(cfg.hardware.threads)
    yield Finding("device", "threads", OK, f"{torch.get_num_threads()} of {cores()} cores that this process may use")
    if not computes_bfloat16(str(cfg.hardware.accelerator)):
        yield Finding(
            "device",
            "reduced precision",
            OK,
            "has no instructions for bfloat16: hardware.precision=auto computes in 32 bits",
        )
        return
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(16, 8, 4, 2, 1),
            nn.Flatten(),
            nn.Linear(2048, 8),
        )
        images = torch.rand(8, 3, 8, 8)
    fault = fault_of(network.to(device_of(cfg)), images.to(device_of(cfg)))
    right = "bfloat16 computes rightly, in a convolution, its transpose and a linear layer"
    wrong = f"{fault}; hardware.precision=auto notices this in the first step of a training, and goes on in 32 bits"
    yield Finding("device", "reduced precision", WRONG if fault else OK, wrong if fault else right)


def data_sets(cfg: DictConfig, overrides: list[str], *, checksums: bool) -> Iterator[Finding]:
    """Check the files of every data set, and their checksums if asked for; otherwise say what was known of them when they were read."""
    from genrun.config.compose import compose, group_choices
    from genrun.data.facts import described_data, recall
    from genrun.data.places import INCLUDED, PLACES, official, wrong_files
    from genrun.parts import cache_folder

    chosen = [word for word in overrides if not word.startswith(("data=", "data."))]
    for name in group_choices()["data"]:
        described = described_data(compose([*chosen, f"data={name}"]))
        source = described["source"]
        reader = source["_target_"]
        if reader in INCLUDED:
            yield Finding("data", name, OK, "comes with scikit-learn")
            continue
        options = [f"data.source.{key}=…" for key in ("path", "anime") if key in source]
        if reader not in PLACES:
            yield Finding("data", name, OK, f"your own: {', '.join(options)}")
            continue
        folder, files = Path(cfg.paths.data).expanduser() / PLACES[reader].folder, PLACES[reader].files
        if missing := [file for file in files if not (folder / file).exists()]:
            listed = ", ".join(missing) if len(missing) < len(files) else f"{len(files)} files"
            get = f"`genrun data={name} {' '.join(options)}".rstrip() + "` downloads them, or put them there"
            yield Finding("data", name, MISSING, f"{listed} in {folder}: {get}")
            continue
        more = f", and {', '.join(options)} is your own" if options else ""
        if checksums:
            known = official(source)
            if wrong := wrong_files(folder, known):
                named = f"{', '.join(wrong)} in {folder}"
                yield Finding("data", name, WRONG, f"{named}: not the official content; delete it and get it again")
            else:
                yield Finding("data", name, OK, f"{folder}, {len(known)} files have the official checksum{more}")
        else:
            facts = recall(described, cache_folder(cfg))
            known = (
                f"checksum {facts.checksum[:8]}, unchanged since it was read"
                if facts
                else "not read yet (--checksums compares)"
            )
            yield Finding("data", name, OK, f"{folder}, {known}{more}")


def weights(cfg: DictConfig, *, checksums: bool) -> Iterator[Finding]:
    """Check the files of trained networks that metrics, losses and figures use; all are optional."""
    from genrun.evaluation.inception import Unavailable, find_weights
    from genrun.nn.perceptual import ADDRESS, path_of
    from genrun.parts import cache_folder

    places: dict[str, Path | None] = {}
    try:
        places["Inception"] = find_weights("disk", cache_folder(cfg), False)
    except Unavailable as error:
        yield Finding("weights", "Inception", MISSING, f"for distances as published: {one_line(error)}")
    for network, name, use in (
        ("vgg", "VGG-16", "closest images, perceptual loss"),
        ("inception", "InceptionV3", "perceptual loss"),
    ):
        if (place := path_of(network)).is_file():
            places[name] = place
        else:
            yield Finding("weights", name, MISSING, f"for {use}: put {ADDRESS}{place.name} into {place.parent}")
    for name, place in places.items():
        beginning = re.search(r"-([0-9a-f]{8})\.pth$", place.name)
        if checksums and beginning:
            with open(place, "rb") as file:
                right = hashlib.file_digest(file, "sha256").hexdigest().startswith(beginning[1])
            if not right:
                yield Finding("weights", name, WRONG, f"{place} is damaged: delete it and get it again")
                continue
        yield Finding("weights", name, OK, str(place))


def folders(cfg: DictConfig) -> Iterator[Finding]:
    """Check the folders that runs write to: where they are, what they hold, the free space, and that they can be written."""
    from genrun.parts import cache_folder

    cache = cache_folder(cfg)
    for name, place in (
        ("paths.outputs", Path(cfg.paths.outputs).expanduser()),
        ("paths.cache", cache),
        ("current folder", Path.cwd()),
    ):
        there = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            option = name if name.startswith("paths.") else "paths.outputs"
            yield Finding(
                "folders",
                name,
                WRONG,
                f"{there} cannot be written: choose another with {option}=…, or change its permissions",
            )
            continue
        free = shutil.disk_usage(there).free
        size = (
            f"{size_text(sum(file.stat().st_size for file in place.rglob('*') if file.is_file()))}, "
            if place == cache and place.is_dir()
            else ""
        )
        text = f"{place.absolute()}{'' if place.exists() else ' (made when needed)'}, {size}{size_text(free)} free"
        full = "; a run of colour images may need more: delete old runs with genrun rm"
        yield Finding(
            "folders", name, OK if free >= LEAST_FREE else WRONG, text if free >= LEAST_FREE else f"{text}{full}"
        )


def extras_found() -> Iterator[Finding]:
    """Check which optional packages are installed."""
    from genrun.config.extras import extras, to_install

    for extra, packages in extras().items():
        if extra in FOR_DEVELOPERS:
            continue
        missing = []
        for package in packages:
            try:
                metadata.version(package)
            except metadata.PackageNotFoundError:
                missing.append(package)
        text = f"{', '.join(missing)} is not installed; {to_install(extra)}" if missing else ", ".join(packages)
        yield Finding("extras", extra, MISSING if missing else OK, text)
