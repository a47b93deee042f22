"""Build and check the parts of a run from its configuration: data module, method, judge."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from genrun.config.build import build, construct, find_target, refusal, signature_of
from genrun.config.container import plain, to_container
from genrun.data.facts import described_data, recall, remember
from genrun.errors import GenrunError, Refused, one_line
from genrun.runs.folder import RunFolder
from genrun.runs.identity import images_key
from genrun.runs.phases import phases_of
from genrun.types import Facts, Phase

if TYPE_CHECKING:
    from genrun.data.module import ImageData
    from genrun.evaluation.judge import Judge
    from genrun.methods.method import Method

# -------------------------------------------------------------------------------------------------------- before torch


def check_beforehand(cfg: DictConfig) -> None:
    """Check before torch is imported what can be known by then: classes, types, numbers, files, packages, the folder of the runs.

    Raises:
        Refused: something is wrong. It would be refused later too, when the parts are built.
    """
    from genrun.config.beforehand import check_classes, check_loggers
    from genrun.data.beforehand import check_data
    from genrun.evaluation.limits import check_judge
    from genrun.system.files import why_no_folder
    from genrun.system.hardware import kind_of

    sections = {name: plain(cfg[name]) for name in ("model", "data", "evaluation", "callbacks", "logger")}
    for section, option in (("model", "name"), ("data", "facts")):  # no class takes these
        sections[section].pop(option, None)
    check_loggers(sections["logger"])
    for name, section in sections.items():
        check_classes(section, name)
    if (asked := str(cfg.hardware.accelerator)) != "auto":
        kind_of(asked)
    check_judge(sections["evaluation"], cfg.sample.n)
    if not cfg.run.dry_run and (reason := why_no_folder(Path(cfg.paths.outputs).expanduser())) is not None:
        raise Refused(
            f"cannot write the folder of the runs, {cfg.paths.outputs}: {reason}; choose another with paths.outputs=…"
        )
    check_data(described_data(cfg), read=not OmegaConf.is_missing(cfg.data.facts, "checksum"))


# ---------------------------------------------------------------------------------------------------------------- data


def cache_folder(cfg: DictConfig) -> Path:
    """Return the folder of the cache. For a user without a home folder it is one that cannot be made, so that nothing is cached."""
    try:
        return Path(cfg.paths.cache).expanduser()
    except RuntimeError:  # there is neither HOME nor an entry of the user
        return Path(os.devnull, "cache")


def build_data(cfg: DictConfig) -> ImageData:
    """Build the data module that `cfg.data` describes.

    Raises:
        Refused: an option is wrong, or the class is no `ImageData`.
    """
    from genrun.data.module import ImageData

    data = build(OmegaConf.create(described_data(cfg)), "data")
    if not isinstance(data, ImageData):
        raise Refused(f"data._target_={cfg.data._target_}: expected genrun.data.module.ImageData or a subclass of it")
    return data


def read_facts(cfg: DictConfig, before: Callable[[], None] = lambda: None) -> tuple[Facts, ImageData | None]:
    """Read the facts of the data; if the cache has them, the data is not read and torch is not imported.

    Args:
        before: called before the data is read.

    Returns:
        The facts, and the data module if it had to be built, otherwise None.
    """
    cache = cache_folder(cfg)
    described = described_data(cfg)
    if (facts := recall(described, cache)) is not None:
        return facts, None
    before()
    data = build_data(cfg)
    facts = data.facts()
    if not cfg.run.dry_run:
        remember(described, facts, data.files(), cache)
    return facts, data


def with_facts(cfg: DictConfig, facts: Facts) -> DictConfig:
    """Return a copy of the configuration with the facts of the data in `data.facts`; the options of the model refer to them."""
    cfg = cfg.copy()
    cfg.data.facts = facts.to_dict()
    return cfg


def known_run(cfg: DictConfig) -> tuple[DictConfig, RunFolder] | None:
    """Return the configuration with the facts of its data, and its run folder; None if the facts are not in the cache."""
    facts = recall(described_data(cfg), cache_folder(cfg))
    if facts is None:
        return None
    cfg = with_facts(cfg, facts)
    return cfg, RunFolder.of(cfg)


# -------------------------------------------------------------------------------------------------------------- method


def build_method(cfg: DictConfig) -> Method:
    """Build the method that `cfg.model` describes.

    Raises:
        Refused: the YAML names no class, the class is no `Method`, or an option is wrong.
    """
    from genrun.methods.method import check_is_method, check_is_method_class

    if "_target_" not in cfg.model:
        raise Refused(
            f"model={cfg.model.name}: its YAML names no class: expected model._target_; docs/methods.md shows one"
        )
    target = find_target(str(cfg.model._target_), "model")
    check_is_method_class(target, f"model={cfg.model.name}")
    parameters, _ = signature_of(target)
    for option in ("image_shape", "num_classes"):
        if option not in cfg.model and option in parameters and parameters[option].default is parameters[option].empty:
            fact = f"{option}: ${{data.facts.{option}}}"
            raise Refused(f"model={cfg.model.name}: its YAML lacks {option}; write {fact}")
    node = OmegaConf.create({key: value for key, value in to_container(cfg.model).items() if key != "name"})
    try:
        method = construct(node, "model")
    except GenrunError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        hint = ""
        if isinstance(cause, AttributeError):
            hint = " (a method calls super().__init__(image_shape, num_classes) before anything else)"
        raise Refused(f"model={cfg.model.name}: {one_line(cause)}{hint}") from error
    check_is_method(method, f"model={cfg.model.name}")
    return method


def make_method(cfg: DictConfig, phase: Phase, earlier_weights: Path | None = None) -> Method:
    """Build the method for the start of a training phase: set the seeds, the first weights, the precision and the memory format.

    A later phase starts with the weights of the phase before it and with its own seed. So its result is the same whether the earlier
    phases ran in this process or not.

    Args:
        earlier_weights: the weights that the phase before this one left; None: do not load any, because the method is only checked.

    Raises:
        Refused: a class or option is wrong, or the method does not support the hardware options.
    """
    import numpy as np
    import torch
    from pytorch_lightning import seed_everything

    from genrun.runs.weights import load_weights
    from genrun.system.hardware import check_method, precision

    seed_everything(cfg.seed, verbose=False)
    method = build_method(cfg)
    phases = phases_of(cfg)
    if (expected := list(method.phases())) != (named := [one.name for one in phases if one.name]):
        raise Refused(
            f"model.phases: {type(method).__name__} trains in the phases [{', '.join(expected)}], got [{', '.join(named)}]"
        )
    check_method(cfg, method)
    place = phases.index(phase)
    if not place and cfg.run.init_from is not None:
        if (reason := method.not_continued()) is not None:
            raise Refused(f"run.init_from={cfg.run.init_from}: {reason}; leave it out")
        load_weights(method, Path(cfg.run.init_from) / "model.safetensors", f"run.init_from={cfg.run.init_from}")
    if precision(cfg) == "64-true":
        method.double()
    if place:
        if earlier_weights is not None:
            before = phases[place - 1].name
            load_weights(method, earlier_weights, f"the phase {before} (delete the file, and the phase is done again)")
        seed_everything(int(np.random.SeedSequence((cfg.seed, place)).generate_state(1)[0]), verbose=False)
    if cfg.hardware.memory_format == "channels_last":
        method.to(memory_format=torch.channels_last)
    if phase.name:
        method.begin_phase(phase.name)
    if cfg.hardware.compile:
        for network in method.children():
            network.compile()
    return method


# --------------------------------------------------------------------------------------------------------------- judge


def build_judge(cfg: DictConfig, data: ImageData, console: Console) -> Judge:
    """Build the judge that `cfg.evaluation` describes.

    Args:
        cfg: the configuration, with the facts of the data in `cfg.data.facts`.
        data: the data that samples are compared with.
        console: where the judge shows progress.

    Raises:
        Refused: an option is wrong, the class is no `Judge`, or this machine lacks the device.
    """
    from genrun.evaluation.judge import Judge
    from genrun.system.hardware import check_device, device_of

    check_device(cfg)
    node = cfg.evaluation
    judge = build(node, "evaluation")  # partial, because Hydra would turn the facts into a configuration
    made = getattr(judge, "func", None)
    if not (inspect.isclass(made) and issubclass(made, Judge)):
        raise Refused(
            f"evaluation._target_={node._target_}: expected genrun.evaluation.judge.Judge or a subclass of it"
        )
    facts, cache = Facts.from_dict(to_container(cfg.data.facts)), cache_folder(cfg)
    try:
        return judge(data, facts, images_key(cfg), cache, console, seed=cfg.seed, device=device_of(cfg))
    except GenrunError:
        raise
    except Exception as error:
        raise Refused(refusal("evaluation", error)) from error
