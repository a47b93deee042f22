"""Compose the configuration of a run from the words of the command line, with Hydra; turn its errors into one line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from genrun.compat import dotted_keys
from genrun.config.choices import models_with
from genrun.errors import GenrunError, Refused, nearest

GROUPS = ("model", "data", "trainer", "hardware", "callbacks", "logger", "evaluation", "experiment")


def compose(
    overrides: list[str], config_dir: str | None = None, *, hydra: bool = False, kept: Path | None = None
) -> DictConfig:
    """Compose the configuration that these overrides describe.

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
    from hydra.errors import (
        ConfigCompositionException,
        HydraException,
        MissingConfigException,
        OverrideParseException,
        SearchPathException,
    )

    if isinstance(error, GenrunError):
        return error
    text = " ".join((str(error) or str(error.__cause__)).split())
    if isinstance(error, OverrideParseException):
        word = error.override.partition("=")[0]
        return Refused(f"cannot read '{error.override}': expected option=value{nearest(word, GROUPS)}")
    if isinstance(error, MissingConfigException):
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        choices = [option for option in error.options or [] if not option.endswith("/")]
        return Refused(
            f"{group}={choice}: no such choice{nearest(choice, choices)}; there {'is' if len(choices) == 1 else 'are'} "
            + ", ".join(choices)
            + ("" if config_dir else " (--config-dir adds your own)")
        )
    if isinstance(error, ConfigCompositionException) and "Could not override" in text:
        key = text.split("'")[1].split("@")[0]
        if users := models_with(key):
            return Refused(f"{key}: this model has no such part; {', '.join(users)} have")
        known = [
            name for name in known_keys(overrides, config_dir) if name.startswith("hydra.") == key.startswith("hydra.")
        ]
        near = nearest(key, known) or nearest(key.rpartition(".")[2], [name.rpartition(".")[2] for name in known])
        return Refused(f"{key}: no such option{near}; to add an option of your own write +{key}=…")
    if "Ambiguous value for argument" in text:
        quoted = text.split("'")[1]
        return Refused(f"{quoted} is several values: add -m to run each, or write [a,b] for a list")
    if isinstance(error, HydraException | OmegaConfBaseException | SearchPathException):
        return Refused(text)
    return Refused(f"{type(error).__name__}: {text}")


def known_keys(overrides: list[str], config_dir: str | None) -> list[str]:
    """Return all groups and all dotted keys of the configuration, composed with only the group choices of the overrides."""
    choices = [text for text in overrides if text.partition("=")[0] in (*GROUPS, "hydra/launcher", "hydra/sweeper")]
    try:
        cfg = compose(choices, config_dir, hydra=True)
    except GenrunError:
        cfg = compose([], hydra=True)
    return [*GROUPS, *dotted_keys(cfg)]
