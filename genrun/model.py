"""The method that a configuration describes, as training begins with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import seed_everything

from genrun.build import build
from genrun.errors import GenrunError, Refused
from genrun.hardware import check_method, precision
from genrun.runs import plain
from genrun.training import load_weights

if TYPE_CHECKING:
    from genrun.methods.method import Method


def make_method(cfg: DictConfig) -> Method:
    """The method as training begins with it: seeded, with the weights that it starts from, in the precision and format of the hardware.

    Raises:
        Refused: a class or option is wrong, or the method cannot do what is asked of the hardware.
    """
    seed_everything(cfg.seed, verbose=False)
    method = build_method(cfg)
    check_method(cfg, method)
    if cfg.run.init_from is not None:
        load_weights(method, Path(cfg.run.init_from) / "model.safetensors", f"run.init_from={cfg.run.init_from}")
    if precision(cfg) == "64-true":
        method.double()
    if cfg.hardware.memory_format == "channels_last":
        method.to(memory_format=torch.channels_last)
    if cfg.hardware.compile:
        for network in method.children():
            network.compile()
    return method


def build_method(cfg: DictConfig) -> Method:
    """The method that `cfg.model` describes."""
    node = OmegaConf.create({key: value for key, value in plain(cfg.model).items() if key != "name"})
    try:
        return build(node, "model")
    except GenrunError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        raise Refused(f"model={cfg.model.name}: {str(cause).splitlines()[0]}") from error
