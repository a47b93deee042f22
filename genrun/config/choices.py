"""Find and load the YAML files of models and their groups, from the package and from a user's `--config-dir`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from genrun.errors import Refused, nearest


def model_folders(config_dir: str | None = None) -> list[Traversable | Path]:
    """Return the folders that contain models and their groups; the user's own folder comes first."""
    own = [Path(config_dir) / "model"] if config_dir else []
    return [*(folder for folder in own if folder.is_dir()), resources.files("genrun.conf") / "model"]


def load_choice(group: str, choice: str, config_dir: str | None = None) -> DictConfig:
    """Load the YAML file of `model/<group>=<choice>`; a file in the user's own groups takes precedence over the package's.

    Args:
        config_dir: a folder of the user's own groups.

    Raises:
        Refused: there is no such group or choice.
    """
    groups: dict[str, dict[str, Traversable | Path]] = {}
    for folder in reversed(model_folders(config_dir)):  # the user's own choices replace those of the package
        for part in folder.iterdir():
            if part.is_dir():
                files = {
                    file.name.removesuffix(".yaml"): file for file in part.iterdir() if file.name.endswith(".yaml")
                }
                groups.setdefault(part.name, {}).update(files)
    if group not in groups:
        raise Refused(
            f"model/{group}: no such group{nearest(group, groups)}; there are {', '.join(sorted(groups))}"
            + ("" if config_dir else " (--config-dir adds your own)")
        )
    if choice not in groups[group]:
        raise Refused(
            f"model/{group}={choice}: expected {', '.join(sorted(groups[group]))}{nearest(choice, groups[group])}"
            + ("" if config_dir else " (--config-dir adds your own)")
        )
    return OmegaConf.create(groups[group][choice].read_text())


def models() -> dict[str, Traversable | Path]:
    """Return the YAML files of the package's models by the name of the model."""
    (folder,) = model_folders()
    files = [path for path in folder.iterdir() if path.name.endswith(".yaml")]
    return {path.name.removesuffix(".yaml"): path for path in sorted(files, key=lambda path: path.name)}


def models_with(group: str) -> list[str]:
    """Return the names of the package's models that use a group such as `model/prior`."""
    return [name for name, file in models().items() if f"/{group}: " in file.read_text()]


NOT_GROUPS = ("expected", "__pycache__")  # folders of conf/ that a user does not choose from


def choices_below(folder: Traversable | Path, group: str = "") -> Iterator[tuple[str, str]]:
    """Yield every group below a configuration folder with each of its choices: ("model/prior", "mixture")."""
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name not in NOT_GROUPS:
            yield from choices_below(entry, f"{group}/{entry.name}" if group else entry.name)
        elif group and entry.name.endswith(".yaml"):
            yield group, entry.name.removesuffix(".yaml")
