"""Check the types and ranges of options that are not arguments of a class in the configuration."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from omegaconf import DictConfig, OmegaConf

from genrun.config.build import check_arguments
from genrun.config.container import plain, to_container
from genrun.config.sections import check_sections
from genrun.config.trainer_options import PASSED, check_trainer_options
from genrun.errors import Refused, nearest, printable

LONGEST_NAME = 120  # bytes; a folder's name may have 255, and may hold two of these


@dataclass
class Paths:
    data: str
    outputs: str
    cache: str


@dataclass
class Run:
    name: str | None
    resume: str
    extend: bool
    refit_of: str | None
    beside: list[str]
    init_from: str | None
    checkpoint_minutes: float
    keep_checkpoints: Literal["all", "last", "best", "none"]
    dry_run: bool
    debug: bool
    figures: bool = True  # earlier runs did not have it


@dataclass
class Sweep:
    name: str | None


@dataclass
class Sample:
    n: int
    chunk: int


@dataclass
class Hardware:
    accelerator: str
    devices: int | str
    precision: str
    compile: bool
    threads: int | None
    memory_format: Literal["contiguous", "channels_last"]


MOST_THREADS = 1024
PRECISIONS = ("32-true", "auto", "bf16-mixed", "16-mixed", "64-true")
# Lightning's other words, which are not recommended
OTHER_PRECISIONS = (
    "bf16-true",
    "16-true",
    "bf16",
    "16",
    "32",
    "64",
    "transformer-engine",
    "transformer-engine-float16",
)
# options outside the classes of the configuration, and their smallest value
LEAST: dict[str, float] = {
    "sample.n": 1,
    "sample.chunk": 1,
    "run.checkpoint_minutes": 0,
    "hardware.devices": 1,
    "hardware.threads": 1,
    **{f"trainer.{option}": least for option, least in PASSED.items() if least is not None},
}


def check(cfg: DictConfig) -> None:
    """Check the types and ranges of options that are not arguments of a class, such as `run`, `paths` and `hardware`.

    Raises:
        Refused: an option is wrong; the message gives its key, what was expected and what was given.
    """
    check_sections(cfg)
    for name, schema in {"paths": Paths, "run": Run, "sweep": Sweep, "sample": Sample, "hardware": Hardware}.items():
        check_arguments(schema, to_container(cfg[name]), name)
    # the data's own seed is part of the run's id, which is computed before the data is built
    for path in ("seed", "data.seed"):
        seed = plain(OmegaConf.select(cfg, path))
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
            raise Refused(f"{path}: expected an integer from 0 to {2**32 - 1}, got {seed!r}")
    held_out = plain(cfg.data.get("validation", 0))  # so is this, where classes are chosen
    if isinstance(held_out, bool) or not isinstance(held_out, int | float):
        raise Refused(f"data.validation: expected a number of images, or a share below 1, got {held_out!r}")
    if cfg.run.resume not in (choices := ("auto", "must", "never")):
        raise Refused(
            f"run.resume: expected one of {', '.join(choices)}, got {cfg.run.resume!r}{nearest(cfg.run.resume, choices)}"
        )
    if (precision := cfg.hardware.precision) not in (*PRECISIONS, *OTHER_PRECISIONS):
        raise Refused(
            f"hardware.precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}{nearest(precision, PRECISIONS)}"
        )
    check_trainer_options(cfg.trainer)
    if isinstance(cfg.hardware.devices, str) and cfg.hardware.devices != "auto":
        raise Refused(f"hardware.devices: expected a number or auto, got {cfg.hardware.devices!r}")
    for path, least in LEAST.items():
        value = OmegaConf.select(cfg, path)
        if isinstance(value, int | float) and not isinstance(value, bool) and value < least:
            raise Refused(f"{path}: expected at least {least}, got {value}")
    if cfg.hardware.threads is not None and cfg.hardware.threads > MOST_THREADS:
        raise Refused(f"hardware.threads: expected at most {MOST_THREADS}, got {cfg.hardware.threads}")
    for name, place in cfg.paths.items():
        if place.startswith("~") and not place.startswith("~/") and os.path.expanduser(place) == place:
            raise Refused(f"paths.{name}={place}: there is no such user; give the folder's full path")
    check_budget(cfg)
    check_name("model.name", cfg.model.get("name"))
    check_name("data.name", cfg.data.get("name"))
    check_name("run.name", cfg.run.name)
    check_name("sweep.name", cfg.sweep.name)


def check_budget(cfg: DictConfig) -> None:
    """Check that the training has a budget: `trainer.max_epochs`, or `max_epochs` of each phase if the method trains in phases.

    Raises:
        Refused: a budget is missing or wrong, or both kinds are given.
    """
    phases = cfg.model.get("phases")
    if not phases:
        return
    if not OmegaConf.is_dict(phases):
        raise Refused(f"model.phases: expected the options of each phase below its name, got {to_container(phases)!r}")
    own = [f"model.phases.{name}.max_epochs" for name in phases]
    for option in ("max_epochs", "max_time"):
        if cfg.trainer.get(option) is not None:
            raise Refused(
                f"trainer.{option}: {cfg.model.name} trains in phases; leave it null and give {' and '.join(own)}"
            )
    for key in own:
        epochs = OmegaConf.select(cfg, key)
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise Refused(f"{key}: expected a number of at least 1, got {epochs!r}")
    for name in phases:
        check_name(f"model.phases.{name}", str(name))


def check_name(key: str, name: str | None) -> None:
    """Check that an option is a valid folder name.

    Raises:
        Refused: it is not a name, it is a path to another place, it is too long, or a terminal would obey it.
    """
    if name is None:
        return
    if not isinstance(name, str) or "/" in name or name.startswith(".") or not name:
        raise Refused(f"{key}: expected a folder's name without '/' and no leading '.', got {name!r}")
    if printable(name) != name or "\n" in name or "\t" in name:
        raise Refused(f"{key}: expected a folder's name without control characters, got {name!r}")
    if (length := len(os.fsencode(name))) > LONGEST_NAME:
        raise Refused(f"{key}: expected a folder's name of at most {LONGEST_NAME} bytes, got {length}")
