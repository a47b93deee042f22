"""Explain every option of a composed configuration: what its YAML and its class say of it, its value and its type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genrun.compat import dotted_keys, raw_value
from genrun.config.comments import Comments, comments_of
from genrun.config.compose import compose, group_choices
from genrun.config.container import to_container
from genrun.config.signatures import UNKNOWN, Argument, arguments_of
from genrun.config.suggestions import whole_keys
from genrun.errors import Refused, did_you_mean

SECTIONS = (
    "model",
    "data",
    "trainer",
    "hardware",
    "evaluation",
    "sample",
    "seed",
    "run",
    "paths",
    "callbacks",
    "logger",
    "sweep",
)
# sections that are no arguments of a class of the configuration → the class that describes them
SCHEMAS = {name.lower(): f"genrun.config.schema.{name}" for name in ("Paths", "Run", "Sweep", "Sample", "Hardware")}
PHASES, OF_A_PHASE = "model.phases.", "genrun.methods.regene.DecoderOptions"
READ = "data.facts"  # filled in from the data: no option
MODEL_NAME = Argument("text", "the model's name in the names of folders.")  # no argument of a method


@dataclass
class Option:
    """An option of a configuration.

    Args:
        key: its dotted key.
        value: its value, resolved where it can be.
        type: in the words of YAML.
        about: what the docstring of the class that takes it says; empty if nothing.
        comments: what the YAML files say of it: of the file of its section, and of the file that sets it last.
        given: whether it was set on the command line.
    """

    key: str
    value: Any
    type: str
    about: str
    comments: list[str]
    given: bool


@dataclass
class Section:
    """The options of a section or of a class.

    Args:
        name: its dotted key.
        choice: what was chosen for it: `vae` of model=vae; None: it is no group.
        others: the other choices.
        target: the class that takes the options; empty if none does.
        about: what the chosen file says of itself.
    """

    name: str
    choice: str | None
    others: list[str]
    target: str
    about: str
    options: list[Option] = field(default_factory=list)


@dataclass
class Chosen:
    """A YAML file of the composition, and where its options go.

    Args:
        group: its group, such as `model/prior`; empty for config.yaml.
        package: the dotted key below which its options go; empty: they are whole keys.
    """

    group: str
    choice: str
    package: str
    comments: Comments


def explain(words: Sequence[str], config_dir: str | None = None) -> list[Section]:
    """Explain the configuration that these overrides compose.

    Raises:
        Refused: an override is wrong, or a YAML file cannot be read.
    """
    cfg = compose(list(words), config_dir, hydra=True)
    choices = {
        str(group): str(choice) for group, choice in cfg.hydra.runtime.choices.items() if choice and choice != "null"
    }
    files = list(
        chosen_files({group: choice for group, choice in choices.items() if not group.startswith("hydra/")}, config_dir)
    )
    given = {word.partition("=")[0].lstrip("+") for word in words}
    every, sections = group_choices(config_dir), {}
    for key in leaves(cfg):
        owner, target = owner_of(cfg, key)
        group = owner.replace(".", "/")
        if owner not in sections:
            about = next((file.comments.about for file in reversed(files) if file.group == group), "")
            others = [one for one in every.get(group, []) if one != choices.get(group)]
            sections[owner] = Section(owner, choices.get(group), others, target, about)
        said = argument_of(key, owner, target)
        value = value_of(cfg, key)
        comments = comments_on(key, files)
        sections[owner].options.append(
            Option(key, value, said.type or type_of(value), said.about, comments, key in given)
        )
    return list(sections.values())


def chosen_files(choices: dict[str, str], config_dir: str | None) -> Iterator[Chosen]:
    """Yield the YAML files of a composition: a file after those that it is based on, and those that set options of other sections last.

    Raises:
        Refused: a file cannot be read.
    """
    folders: list[Traversable | Path] = [resources.files("genrun.conf"), *([Path(config_dir)] if config_dir else [])]

    def read(group: str, choice: str) -> Iterator[Chosen]:
        name = f"{group}/{choice}.yaml" if group else f"{choice}.yaml"
        place = next((file for folder in folders if (file := folder.joinpath(name)).is_file()), None)
        if place is None:
            return
        try:
            comments = comments_of(place.read_text())
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise Refused(f"{place} cannot be read ({' '.join(str(error).split())})") from None
        for base in comments.bases:
            if "@" not in base and not base.startswith("/"):
                yield from read(group, base)
        default = group.replace("/", ".")
        package = (
            default
            if comments.package is None
            else comments.package.replace("_global_", "").replace("_group_", default)
        )
        yield Chosen(group, choice, package.strip("."), comments)

    every = [
        file for group, choice in {"": "config", **choices}.items() for file in read(group.partition("@")[0], choice)
    ]
    yield from sorted(every, key=lambda file: (bool(file.group) and not file.package, file.group == "experiment"))


def comments_on(key: str, files: Sequence[Chosen]) -> list[str]:
    """Return the comments on an option: of the file of its own section, which says what it is, and of the file that sets it last."""
    found: list[str] = []
    setting = [(file, inside) for file in files if (inside := below(key, file.package)) in file.comments.keys]
    for place, (file, inside) in enumerate(setting):
        text = file.comments.options.get(inside, "")
        of_section = file.package or not file.group
        if text and text not in found and (of_section or place == len(setting) - 1):
            found.append(text)
    return found


def below(key: str, package: str) -> str:
    """Return a key as it stands in a file of this package; empty if it is none of its keys."""
    return key if not package else key.removeprefix(f"{package}.") if key.startswith(f"{package}.") else ""


def leaves(cfg: DictConfig) -> list[str]:
    """Return the dotted keys of all options, section by section, but for those that name a class and those that are read from the data."""
    every = [
        key for key in dotted_keys(cfg) if all(part.isidentifier() for part in key.split("."))
    ]  # others are names of files
    keys = [key for key in every if not any(part.startswith("_") for part in key.split("."))]
    holders = {key.rpartition(".")[0] for key in every}
    found = [key for key in keys if key not in holders and not key.startswith(("hydra.", f"{READ}."))]
    places = {name: place for place, name in enumerate(SECTIONS)}
    return sorted(found, key=lambda key: (places.get(key.partition(".")[0], len(places)), nodes_of(cfg, key)))


def nodes_of(cfg: DictConfig, key: str) -> tuple[str, ...]:
    """Return what an option sorts by: the classes around it, so that the options of one class stand together, those of outer ones first."""
    return tuple(owner_of(cfg, key)[0].split("."))


def owner_of(cfg: DictConfig, key: str) -> tuple[str, str]:
    """Return the dotted key of the class that takes an option, or of its section, and the name of the class; empty if there is none."""
    parts = key.split(".")
    for end in range(len(parts) - 1, 0, -1):
        node = OmegaConf.select(cfg, owner := ".".join(parts[:end]))
        if OmegaConf.is_dict(node) and "_target_" in node:
            return owner, str(node["_target_"])
    return parts[0], ""


def argument_of(key: str, owner: str, target: str) -> Argument:
    """Return the type of an option and what its class says of it."""
    name = key.removeprefix(f"{owner}.")
    if key == "model.name":
        return MODEL_NAME
    if key.startswith(PHASES):
        return arguments_of(OF_A_PHASE).get(key.rpartition(".")[2], UNKNOWN)
    return arguments_of(target or SCHEMAS.get(owner, "")).get(name, UNKNOWN)


def value_of(cfg: DictConfig, key: str) -> Any:
    """Return the value of an option; an interpolation that cannot be resolved yet stays as it is written."""
    try:
        return to_container(OmegaConf.select(cfg, key, throw_on_missing=True))
    except OmegaConfBaseException:
        return raw_value(cfg, key)


def type_of(value: Any) -> str:
    """Return the type of a value in the words of YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true | false"
    return {int: "int", float: "float", str: "text", list: "list", dict: "mapping"}.get(type(value), "")


def narrowed(sections: list[Section], asked: Sequence[str], config_dir: str | None = None) -> list[Section]:
    """Return the sections with those options only that the words name: a key, a part of one, or a section.

    Raises:
        Refused: a word names no option; the message suggests the nearest.
    """
    keys = [option.key for section in sections for option in section.options]
    wanted: set[str] = set()
    for word in asked:
        found = {key for key in keys if f"{key}.".startswith(f"{word}.")} or {key for key in keys if word in key}
        if not found:
            chosen = [f"{group}={word}" for group, choices in group_choices(config_dir).items() if word in choices]
            raise Refused(
                f"{word}: there is no such option{did_you_mean(chosen or whole_keys(word, keys))}; genrun explain shows all"
            )
        wanted |= found
    left = []
    for section in sections:
        options = [option for option in section.options if option.key in wanted]
        if options:
            left.append(Section(section.name, section.choice, section.others, section.target, section.about, options))
    return left
