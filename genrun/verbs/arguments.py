"""Parse and check arguments that several verbs share."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from genrun.errors import Refused

if TYPE_CHECKING:
    from genrun.methods.method import Method
    from genrun.runs.open import OpenRun


RUN = "a folder, an id or its beginning, last, or best (also best:model=vae,data=mnist)"  # what a verb's RUN may be

RUNS = f"{RUN}, a folder with runs, a pattern, or a condition such as model=vae; default: all runs in paths.outputs"


class Arguments(argparse.ArgumentParser):
    """An argument parser that reports an error as one line."""

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{self.prog}: {message}; {self.prog} --help shows what there is")


def output_path(name: str, endings: tuple[str, ...]) -> Path:
    """Check the place of the file that `--out` names, and return its path.

    Args:
        endings: the endings that the name may have, such as `.png`.

    Raises:
        Refused: the ending is wrong, or the folder is missing or cannot be written.
    """
    out = Path(name)
    if out.suffix not in endings:
        raise Refused(f"--out {out}: expected a name that ends in {' or '.join(endings)}")
    if not out.parent.is_dir():
        raise Refused(f"--out {out}: there is no folder {out.parent}")
    if not os.access(out.parent, os.W_OK):
        raise Refused(f"--out {out}: the folder {out.parent} cannot be written")
    return out


def check_drawing(method: Method, overrides: Sequence[str]) -> None:
    """Check that options of a trained method may be changed, and have an effect.

    Args:
        overrides: words such as model.sampler.steps=10 or model/sampler=ddim.

    Raises:
        Refused: the training depends on an option, or it does nothing.
    """
    if overrides:
        try:
            method.check_options()
        except ValueError as error:
            raise Refused(str(error)) from error
    known = vars(type(method)).get("drawing_options")  # a subclass may have further ones
    for word in overrides if known is not None else ():
        option = word.lstrip("+~").partition("=")[0][len("model.") :].partition(".")[0]
        if option not in known:
            named = ", ".join(f"model.{name}" for name in known)
            raise Refused(
                f"{word}: expected an option that may be changed after training ({named}); leave it out, or train another run with it"
            )


def check_new(out: Path) -> None:
    """Check that the file to write does not exist yet. Call it when the rest of the command is known to be right.

    Raises:
        Refused: there is such a file.
    """
    if os.path.lexists(out):
        raise Refused(f"--out {out} exists already; choose another name")


def free_path(stem: str, ending: str) -> Path:
    """Return the first path in the current folder that is free: samples.png, samples_2.png, samples_3.png, …"""
    names = (f"{stem}_{number}{ending}" if number > 1 else f"{stem}{ending}" for number in itertools.count(1))
    return next(Path(name) for name in names if not os.path.lexists(name))


def open_checked(
    path: str | Path,
    overrides: Sequence[str] = (),
    config_dir: str | None = None,
    *,
    trust: bool,
    data: bool = False,
    finished: bool = False,
    trained: bool = False,
) -> OpenRun:
    """Open a run with some options of its model changed, and check before torch is imported what can be checked by then.

    Args:
        overrides: of the run's model.
        config_dir: a folder of the user's own groups.
        trust: allow classes that are not of genrun or torch too, also from the current folder.
        data: whether the run's data will be read, and is checked as well.
        finished: whether the run must be finished.
        trained: whether its training must be finished; a later stage may have failed.

    Raises:
        Refused: it is no run folder, it is not finished, an override is wrong, or a class is not trusted.
    """
    from genrun.config.compose import check_config_dir
    from genrun.runs.open import open_run
    from genrun.runs.phases import is_trained

    check_config_dir(config_dir)
    run = open_run(path)
    if finished and run.status["state"] != "done":
        raise Refused(f"{path} is not finished {advice_of(run)}")
    if trained and (run.status["state"] == "running" or not is_trained(run.config, run.status)):
        raise Refused(f"{path}: its training is not finished {advice_of(run)}")
    run.override(overrides, config_dir)
    if not trust:
        run.check_trusted(data=data)
    return run


def need_torch() -> None:
    """Import torch, after a line that says so; what can be refused without it is refused before. The line goes to stderr: what a verb
    prints may be read by a program.
    """
    from genrun.system.console import say, screen
    from genrun.system.loading import is_loaded, load_torch

    if not is_loaded():
        say(screen(error=True), "loading torch …")
        load_torch()


def advice_of(run: OpenRun) -> str:
    """Return the state of a run that is not finished, and what to do."""
    from genrun.runs.summary import state_of

    state = state_of(run.folder, run.status)
    return f"({state}); {'wait for it' if state == 'running' else 'give its command again first'}"


def outputs_folder(words: Sequence[str]) -> tuple[list[str], Path]:
    """Take `paths.outputs=…` out of the words of a verb; return the other words and the folder of the run folders.

    Without it, this is the default of the configuration.
    """
    outputs = "outputs"
    for word in words:
        if word.startswith("paths.outputs="):
            outputs = word.partition("=")[2]
    return [word for word in words if not word.startswith("paths.outputs=")], Path(outputs).expanduser()
