"""Compose the configuration of a run from the words of the command line, with Hydra; turn its errors into one line."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from importlib import resources
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from genrun.compat import dotted_keys
from genrun.config.choices import choices_below, models_with
from genrun.config.suggestions import quoted, whole_keys
from genrun.config.trainer_options import REFUSED
from genrun.errors import GenrunError, Refused, did_you_mean, nearest, one_line

GROUPS = ("model", "data", "trainer", "hardware", "callbacks", "logger", "evaluation", "experiment")


def compose(
    overrides: list[str], config_dir: str | None = None, *, hydra: bool = False, kept: Path | None = None
) -> DictConfig:
    """Compose the configuration that these overrides describe. What another program has composed with Hydra in this process stays.

    Args:
        overrides: words as on the command line, such as `model=csgm`.
        config_dir: a folder of the user's own groups.
        hydra: whether to keep Hydra's own section, `cfg.hydra`.
        kept: the folder of all YAML files (`config.kept`); None: those of the package and of `config_dir`.

    Raises:
        Refused: the syntax, a group, a choice, a key or a type is wrong; the message suggests the nearest correct name.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    check_config_dir(config_dir)
    search = [f"hydra.searchpath=[file://{os.path.abspath(config_dir)}]"] if config_dir and kept is None else []
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with (
            initialize_config_module("genrun.conf", version_base="1.3")
            if kept is None
            else initialize_config_dir(os.path.abspath(kept), version_base="1.3")
        ):
            cfg = hydra_compose("config", overrides=[*overrides, *search], return_hydra_config=True)
    except Exception as error:
        raise explain(error, overrides, config_dir) from error
    finally:
        GlobalHydra.instance().hydra = before
    name_parts(cfg, cfg.hydra.runtime.choices)
    if not hydra:
        with open_dict(cfg):
            del cfg.hydra
    return cfg


def name_parts(cfg: DictConfig, choices: DictConfig) -> None:
    """Set `model.name` and `data.name` to the name of the YAML file if the file does not set them."""
    for part in ("model", "data"):
        if cfg.get(part) is not None and cfg[part].get("name") is None and choices.get(part):
            with open_dict(cfg):
                cfg[part].name = str(choices[part]).rpartition("/")[2]


def check_config_dir(config_dir: str | None) -> None:
    """Check that the folder of the user's own groups exists, and let Python import modules from the current folder.

    The user's own groups may name classes in files or packages in the folder where genrun was started.

    Raises:
        Refused: the folder does not exist.
    """
    if config_dir is None:
        return
    if not Path(config_dir).is_dir():
        raise Refused(f"--config-dir {config_dir}: no such folder; make it, or leave it out")
    make_importable(os.getcwd())


def make_importable(folder: str) -> None:
    """Let Python import modules from a folder. The folder is searched last, so that its files cannot hide a library."""
    if folder not in sys.path:
        sys.path.append(folder)


def explain(error: Exception, overrides: list[str], config_dir: str | None = None) -> GenrunError:
    """Convert an error of Hydra or OmegaConf to an error of one line that suggests the nearest correct name."""
    from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException

    if isinstance(error, GenrunError):
        return error
    text = one_line(error)
    if isinstance(error, OverrideParseException):
        return Refused(unreadable(error.override))
    if chosen := no_choice(overrides, config_dir):
        return Refused(chosen)
    if isinstance(error, MissingConfigException):
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        group, choice = without_folder(group, choice)
        options = group_choices(config_dir)[group] if group == "experiment" else error.options or []
        return Refused(f"{group}={choice}: no such choice{there_are(group, choice, options, config_dir)}")
    if isinstance(error, ConfigCompositionException):
        if text.startswith("Could not override"):
            key = text.split("'")[1].split("@")[0]
            # of key={option:…} the option that there is not
            inner = re.search(r"full_key: (\S+)", str(error.__cause__))
            if inner and inner[1].startswith(f"{key}."):
                key = inner[1]
            return Refused(no_such_option(key, overrides, config_dir))
        if text.startswith("Could not delete") and "does not exist" in text:
            key = text.split("'")[1]
            near = did_you_mean(whole_keys(key, known_keys(overrides, config_dir)))
            return Refused(f"~{key}: there is no such option{near}, or it is null: it cannot be left out")
        if text.startswith("Error merging override"):
            reason = one_line(error.__cause__ or error).partition(" full_key")[0]
            return Refused(f"{text.removeprefix('Error merging override ')}: cannot be set ({reason})")
    if text.startswith("Sweep parameters"):
        words = text[text.index("'") + 1 : text.rindex("'")]
        return Refused(f"{words} is several values: add -m to run each")
    if text.startswith("Error resolving interpolation"):
        word = text.split("'")[1]
        return Refused(f"{word} cannot name a choice of a group: expected a name, or the choice of another group")
    if "Ambiguous value for argument" in text:
        word = text.split("'")[1]
        return Refused(
            f"{word} is several values: add -m to run each, write [a,b] for a list, or quote a text: {quoted(word)}"
        )
    if isinstance(error, HydraException | OmegaConfBaseException):
        return Refused(text)
    return Refused(f"{type(error).__name__}: {text}")


def unreadable(word: str) -> str:
    """Return the message for an override that Hydra's parser cannot read."""
    key, equals, _ = word.partition("=")
    if not equals or not re.fullmatch(r"[+~]*[\w./@:$-]+", key, re.ASCII):
        return f"cannot read '{word}': expected option=value{nearest(key, GROUPS)}"
    return (
        f"cannot read '{word}': a value with special characters is quoted, for the shell and for genrun: {quoted(word)}"
    )


def no_choice(overrides: list[str], config_dir: str | None) -> str | None:
    """Return the message for the first override of a group whose value is no name of a choice; None if there is none.

    Hydra itself reports these without the name of the group.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    choices = group_choices(config_dir)
    for override in OverridesParser.create().parse_overrides(overrides):
        group = override.key_or_group
        if not group:
            return unreadable(override.input_line)
        if group not in choices or override.is_delete() or override.is_sweep_override():
            continue
        names = value if isinstance(value := override.value(), list) else [value]
        if not all(isinstance(name, str) for name in names):
            return f"{override.input_line}: expected the name of a choice{there_are(group, '', choices[group], config_dir)}"
    return None


def group_choices(config_dir: str | None = None) -> dict[str, list[str]]:
    """Return the choices of each group, the user's own groups included: `{"model/prior": ["convex", …], …}`."""
    folders = [resources.files("genrun.conf"), *([Path(config_dir)] if config_dir else [])]
    found: dict[str, set[str]] = {}
    for folder in folders:
        for group, choice in choices_below(folder):
            group, choice = without_folder(group, choice)
            found.setdefault(group, set()).add(choice)
    return {group: sorted(found[group]) for group in sorted(found)}


def without_folder(group: str, choice: str) -> tuple[str, str]:
    """Return the group and its choice; folders of experiments only sort them: ("experiment", "baselines/vae")."""
    if not group.startswith("experiment/"):
        return group, choice
    return "experiment", f"{group.removeprefix('experiment/')}/{choice}"


def there_are(group: str, choice: str, options: list[str], config_dir: str | None) -> str:
    """Return the end of a message: the nearest choice of a group, and all of them."""
    # Hydra's own launcher and sweeper cannot be used
    choices = sorted(
        {one for one in options if not one.endswith("/") and not (group[:6] == "hydra/" and one == "basic")}
    )
    own = "" if config_dir or group.startswith("hydra/") else " (--config-dir adds your own)"
    return f"{nearest(choice, choices)}; there {'is' if len(choices) == 1 else 'are'} {', '.join(choices)}{own}"


def no_such_option(key: str, overrides: list[str], config_dir: str | None) -> str:
    """Return the message for a key that the configuration does not have."""
    if users := models_with(key):
        return f"{key}: this model has no such part; {', '.join(users)} have"
    for text in overrides:
        section, _, value = text.partition("=")
        section = section.lstrip("+")
        if key.startswith(f"{section}.") and section not in group_choices(config_dir) and "{" not in value:
            return f"{text}: expected the options of {section}, such as {key}=…"
    group, _, option = key.rpartition(".")
    if group == "trainer" and option in REFUSED:
        return f"{key}: genrun does not pass it on; {REFUSED[option]}"
    known = [
        name for name in known_keys(overrides, config_dir) if name.startswith("hydra.") == key.startswith("hydra.")
    ]
    near = whole_keys(key, known)
    if not near and option in REFUSED:
        return f"{key}: no such option; of Lightning's {option}: {REFUSED[option]}"
    add = f", and +{key}=… adds one that a class takes" if group else ""
    return f"{key}: no such option{did_you_mean(near)}; genrun --cfg job shows what there is{add}"


def known_keys(overrides: list[str], config_dir: str | None) -> list[str]:
    """Return all groups and all dotted keys of the configuration, composed with only the group choices of the overrides."""
    choices = [text for text in overrides if text.partition("=")[0] in (*GROUPS, "hydra/launcher", "hydra/sweeper")]
    cfg = None
    if len(choices) < len(overrides):  # else these words are what cannot be composed
        with contextlib.suppress(GenrunError):
            cfg = compose(choices, config_dir, hydra=True)
    return [*group_choices(config_dir), *dotted_keys(compose([], hydra=True) if cfg is None else cfg)]
