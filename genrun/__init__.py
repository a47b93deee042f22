"""genrun: train, sample, judge and compare image generators from one command line, or from Python (docs/python.md).

    run = genrun.run("model=vae", "data=digits")    # what the command does; a finished run returns at once
    run.results()["Fréchet distance (observer)"]
    genrun.runs("outputs", model="vae")             # the newest first

Nothing here imports torch, or anything else that takes time, before it is used.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from genrun.errors import GenrunError, Interrupted

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

    from genrun.report.notebook import NotebookRun

__version__ = "0.1.0"
__all__ = ["GenrunError", "Interrupted", "compose", "open_run", "run", "runs"]


def compose(*words: str, config_dir: str | None = None) -> DictConfig:
    """Compose the configuration that the command line composes from these words, as `genrun --cfg job` shows it.

    Args:
        words: such as `"model=vae"`, `"data=digits"`.
        config_dir: a folder of your own groups.

    Raises:
        GenrunError: a word is wrong; the message suggests the nearest correct one.
    """
    from genrun.config.compose import compose as compose_words

    return compose_words(list(words), config_dir)


def open_run(path: str | Path) -> NotebookRun:
    """Open a run folder for reading.

    Raises:
        GenrunError: it is no run folder, or it is damaged.
    """
    from genrun.report.notebook import open_run as opened

    return opened(path)


class CallableRun(ModuleType):
    """The module `genrun.run`, which can be called. A function of this name would be hidden as soon as the module is imported."""

    def __call__(self, *words: str, config_dir: str | None = None, quiet: bool = False) -> NotebookRun:
        """Do the run that these words describe, as the command line does, and return it. A finished run returns at once.

        The run prints its progress. It changes nothing in this process but what it prints: the current folder, signal handlers, logging,
        torch's settings and random streams are afterwards what they were.

        Args:
            words: such as `"model=vae"`, `"data=digits"`, `"trainer.max_epochs=20"`.
            config_dir: a folder of your own groups.
            quiet: whether to print nothing.

        Raises:
            GenrunError: a word or a value is wrong, or the training failed; its message is one line.
            Interrupted: a signal stopped the run, such as the kernel's interrupt; the same call goes on from there. In a thread that is not
                the main one no signal is handled.
        """
        return self.run_words(words, config_dir, quiet=quiet)


class CallableRuns(ModuleType):
    """The package `genrun.runs`, which can be called, for the same reason as `CallableRun`."""

    def __call__(self, outputs: str | Path = "outputs", *conditions: str, **options: Any) -> list[NotebookRun]:
        """Return the runs below a folder of outputs that fulfil all conditions, the newest first.

        Args:
            outputs: the folder of all runs.
            conditions: as `genrun list` takes them: `"trainer.max_epochs=20"`, `"seed!=0"`, or a text in the command of a run.
            options: `model`, `data`, `state`, `id` or a whole option, and its value or a list of values: `model="vae"`, `state="done"`,
                `seed=[0, 1]`, `**{"model.code_size": 8}`.

        Raises:
            GenrunError: there is no such folder, or no run has such an option.
        """
        from genrun.report.notebook import runs_in

        return runs_in(outputs, conditions, options)


def __getattr__(name: str) -> Any:
    """Import `genrun.run` and `genrun.runs` when they are first used, because the command line must answer quickly."""
    if name in ("run", "runs"):
        return importlib.import_module(f"genrun.{name}")
    raise AttributeError(f"module 'genrun' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__doc__", "__version__"])
