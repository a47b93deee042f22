"""Keep the YAML files that a sweep was started with, so that editing them does not change its later jobs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from genrun.errors import Refused


def keep_configuration(folder: Path, config_dir: str | None, outputs: Path) -> None:
    """Copy the package's YAML files and those of the user's own groups into a folder, in place of what was there.

    Args:
        folder: where `compose` finds them from then on.
        config_dir: the folder of the user's own groups.
        outputs: where runs are written; it may lie below `config_dir`, and is not copied.

    Raises:
        Refused: a file cannot be read or written.
    """
    new = folder.with_name(f"{folder.name}.new")
    try:
        shutil.rmtree(new, ignore_errors=True)
        with resources.as_file(resources.files("genrun.conf")) as package:
            for source in [
                *([Path(config_dir)] if config_dir else []),
                package,
            ]:  # Hydra takes the package's file if both have one
                copy_yaml_files(source, new, outputs)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}; the YAML files of a sweep are kept in {folder}") from error


def copy_yaml_files(source: Path, target: Path, outputs: Path) -> None:
    """Copy all YAML files below a folder to the same places below another one."""
    for file in yaml_files(source, outputs):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def yaml_files(folder: Path, outputs: Path) -> Iterator[Path]:
    """Yield all YAML files below a folder, without those in hidden folders, in `outputs` and in virtual environments."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and (here / name).resolve() != outputs.resolve()
            and not (here / name / "pyvenv.cfg").is_file()
        ]
        mine = [name for name in sorted(files) if name.endswith(".yaml") and not name.startswith(".")]
        yield from (here / name for name in mine if (here / name).is_file())  # a link may lead nowhere
