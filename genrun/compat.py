"""Use the private names of Hydra, OmegaConf, Lightning, Optuna and torch that genrun needs; pyproject.toml therefore limits their versions.

Each function imports its library when it is called, so that importing this module is quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from omegaconf import DictConfig, ListConfig
    from pytorch_lightning import Trainer
    from pytorch_lightning.strategies import DDPStrategy


def hydra_argument_parser() -> argparse.ArgumentParser:
    """Return Hydra's parser of its command-line flags."""
    from hydra._internal.utils import get_args_parser

    return get_args_parser()


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return all flags of a parser."""
    return list(parser._option_string_actions)


def combinations(parsed: list[Any]) -> list[list[str]]:
    """Return one list of overrides for each combination of the values in Hydra's parsed overrides; the last option varies fastest."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    return BasicSweeper.split_arguments(parsed, max_batch_size=None)[0]


def dotted_keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield all dotted keys of a configuration without resolving interpolations."""
    from omegaconf import OmegaConf

    for key in node:
        yield f"{prefix}{key}"
        child = node._get_node(key)
        if OmegaConf.is_dict(child) and not child._is_none() and not child._is_interpolation():
            yield from dotted_keys(child, f"{prefix}{key}.")


def raw_values(node: DictConfig | ListConfig, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of every option, as it is written: interpolations as text, a missing value as `???`."""
    from omegaconf import OmegaConf

    for key in node if OmegaConf.is_dict(node) else range(len(node)):
        child = node._get_node(key)
        if OmegaConf.is_config(child) and not (child._is_none() or child._is_interpolation() or child._is_missing()):
            yield from raw_values(child, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", child._value()


def raw_value(node: DictConfig, key: str) -> Any:
    """Return the value at a dotted key as it is written: an interpolation as text, a missing value as `???`."""
    return dict(raw_values(node)).get(key)


def read_checkpoint(path: str | Path, map_location: Any) -> dict[str, Any]:
    """Read a checkpoint as Lightning does, without running code from it."""
    from lightning_fabric.utilities.cloud_io import _load

    return _load(path, map_location=map_location, weights_only=True)


def leave_signals_alone(trainer: Trainer) -> None:
    """Keep Lightning from handling SIGTERM.

    Its handler starts a broadcast wherever the signal arrives, while other ranks may wait in another place.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None


def start_no_processes(strategy: DDPStrategy) -> None:
    """Keep Lightning's DDP strategy from running the whole command again in other processes: genrun starts its workers itself."""
    strategy._configure_launcher = lambda: None


def set_backend(strategy: DDPStrategy, backend: str) -> None:
    """Tell Lightning's DDP strategy which backend its process group has, when it did not set the group up itself."""
    strategy._process_group_backend = backend


def trial_of(study: optuna.Study, number: int) -> optuna.trial.Trial:
    """Return the trial of a study with this number, which another process asked the study for."""
    import optuna

    known = next(trial for trial in study.get_trials(deepcopy=False) if trial.number == number)
    return optuna.trial.Trial(study, known._trial_id)


def schema_of(operation: Any) -> Any:
    """Return the schema of one of torch's operations: its name, and what is known of its arguments."""
    return operation._schema


def in_backward_pass() -> bool:
    """Return whether torch is computing gradients at the moment, in this thread."""
    import torch

    return torch._C._current_graph_task_id() != -1


def logged_step(trainer: Trainer) -> int:
    """Return the step at which Lightning logs the metrics of an epoch that ends: the number of its last batch, from 0."""
    done = trainer.fit_loop.epoch_loop._batches_that_stepped
    return done if trainer.validating else max(0, done - 1)  # it counts the last batch after the validation
