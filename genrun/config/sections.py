"""Check the form of a whole configuration: its sections, and that every value can be read and is used."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from genrun.compat import raw_values
from genrun.config.container import plain, to_container
from genrun.errors import Refused, nearest, one_line

# All keys of a configuration; Hydra's own section is there in a sweep.
SECTIONS = (
    *("model", "data", "trainer", "hardware", "callbacks", "logger", "evaluation"),
    *("paths", "run", "sample", "sweep", "seed", "hydra"),
)
# options that are read outside the classes that take them
NEEDED = {
    "trainer": ("_target_", "max_epochs", "max_time", "accumulate_grad_batches", "gradient_clip_val"),
    "data": ("_target_", "source", "batch_size", "seed", "facts"),
    "callbacks": ("training", "watching"),
}
FACTS = "data.facts"  # filled in when the data is read
ENDLESS = ("run.checkpoint_minutes",)  # options that may be infinite
LARGEST = 2**63 - 1  # the largest whole number that torch computes with


def check_sections(cfg: DictConfig) -> None:
    """Check that every section has the form that genrun reads, that each value can be read, and that something reads it.

    Raises:
        Refused: a section is missing or no section, a key is read by nothing, a value is missing or cannot be resolved, or a number is
            not finite.
    """
    for name in SECTIONS:
        if name not in ("hydra", "seed") and not OmegaConf.is_dict(section := plain_value(cfg, name)):
            raise Refused(f"{name}: expected the options of this section, such as {name}.option=value, got {section!r}")
    for name in cfg:
        if name not in SECTIONS and not reads(cfg, str(name)):
            raise Refused(f"{name}: nothing reads this option{nearest(str(name), SECTIONS)}; leave it out")
    for section, options in NEEDED.items():
        for option in options:
            if option not in cfg[section]:
                raise Refused(
                    f"{section}.{option}: this option is needed; its YAML and the command line must not leave it out"
                )
    if not OmegaConf.is_dict(facts := plain_value(cfg.data, "facts")):
        raise Refused(f"{FACTS}: expected the facts, which are read from the data, got {facts!r}; leave it as it is")
    for path, value in values(cfg):
        check_value(path, value)
    if set(cfg.callbacks) - {"training", "watching"}:
        key = min(set(cfg.callbacks) - {"training", "watching"}, key=str)
        raise Refused(f"callbacks.{key}: nothing reads this option; expected callbacks.training or callbacks.watching")
    check_named_parts(cfg, "callbacks.training")
    check_named_parts(cfg, "callbacks.watching", known_watchers())
    check_named_parts(cfg, "logger")


def plain_value(cfg: DictConfig, name: str) -> Any:
    """Return a section of the configuration, or the value that stands in its place; None if it is missing or cannot be resolved."""
    try:
        return cfg.get(name)
    except OmegaConfBaseException as error:
        raise Refused(f"{name}: {reason(error)}") from None


def reads(cfg: DictConfig, name: str) -> bool:
    """Return whether an interpolation such as `${name}` or `${name.option}` reads a key of the configuration."""
    return re.search(rf"\$\{{([^}}]*[:,\s])?{re.escape(name)}\b", OmegaConf.to_yaml(cfg)) is not None


def values(cfg: DictConfig) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of every option, resolved, but for Hydra's section and for what the facts of the data decide.

    Raises:
        Refused: a value is missing, or its interpolation cannot be resolved.
    """
    # what others refer to comes first
    for path, raw in sorted(raw_values(cfg), key=lambda option: option[0].count(".")):
        if path.startswith("hydra.") or (path.startswith(f"{FACTS}.") and "${" not in str(raw)):
            continue
        if raw == "???":
            raise Refused(f"{path}: expected a value, got none (???)")
        try:
            yield path, to_container(OmegaConf.select(cfg, path)) if "${" in str(raw) else raw
        except InterpolationToMissingValueError as error:
            if not path.startswith(("model.", "evaluation.")):  # these are built when the data is read
                raise Refused(f"{path}={raw}: {reason(error)}") from None
        except OmegaConfBaseException as error:
            raise Refused(f"{path}={raw}: {reason(error)}") from None


def reason(error: OmegaConfBaseException) -> str:
    """Return the message of OmegaConf without the name of Python's error before it and the place after it."""
    words = re.sub(r"^\w+ raised while resolving interpolation: ", "", one_line(error))
    return words.partition(" full_key")[0].strip('"')


def check_value(path: str, value: Any) -> None:
    """Check that a value is a number that torch can compute with, or a text that a file can hold.

    Raises:
        Refused: it is NaN or infinite, a whole number larger than torch's largest, or a text that is not UTF-8.
    """
    if isinstance(value, float) and not math.isfinite(value) and not (path in ENDLESS and value == math.inf):
        raise Refused(f"{path}: expected a finite number, got {value}")
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise Refused(f"{path}: expected a whole number of at most {LARGEST}, got {value}")
    if isinstance(value, str):
        if "${" in value:
            raise Refused(
                f"{path}: expected a text without ${{, which the run's config.yaml cannot hold, got {value!r}; rename it"
            )
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refused(f"{path}: expected a text in UTF-8, got {value!r}; rename the file, or link to it") from None


def check_named_parts(cfg: DictConfig, path: str, known: frozenset[str] = frozenset()) -> None:
    """Check a section whose entries are objects with a name, such as callbacks.

    Args:
        known: names whose entry may be options alone: a model sets an option of a watcher that callbacks=none has removed.

    Raises:
        Refused: an entry is no object.
    """
    section = OmegaConf.select(cfg, path)
    if not OmegaConf.is_dict(section):
        raise Refused(f"{path}: expected entries with a name, such as {path}.<name>._target_=…, got {plain(section)!r}")
    for name, entry in section.items():
        if OmegaConf.is_dict(entry) and ("_target_" in entry or name in known):
            continue
        raise Refused(
            f"{path}.{name}: expected options with the name of a class, {path}.{name}._target_, got {plain(entry)!r}"
            f"; ~{path}.{name} leaves it out"
        )


def known_watchers() -> frozenset[str]:
    """Return the names of the watching callbacks that the default configuration has."""
    default = resources.files("genrun.conf") / "callbacks" / "default.yaml"
    return frozenset(map(str, OmegaConf.create(default.read_text()).watching))
