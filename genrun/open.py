"""The notebook's door to a run: `genrun.open_run(path)`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genrun.errors import Refused, nearest
from genrun.runs import FORMAT, RunFolder
from genrun.types import Facts

if TYPE_CHECKING:
    import numpy as np

    from genrun.methods.method import Method


SECTIONS = ("model", "data.source", "data.facts", "trainer", "sample", "paths", "seed")  # of every run's configuration


class OpenRun:
    """A run folder that is read, never written: what it was asked, what it left, and its trained method.

    Args:
        path: a run folder; it may have been moved, and made on another machine.

    Raises:
        Refused: it is not a run folder, or of a later format.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = RunFolder(Path(path))
        saved = self.folder.path / "config.yaml"
        if not saved.is_file():
            raise Refused(f"{path}: expected a run folder (with config.yaml), found none there")
        self.status = self.folder.status()
        if self.status["format"] > FORMAT:
            raise Refused(
                f"{path} has format {self.status['format']}, this genrun reads up to {FORMAT}: use a newer genrun"
            )
        try:
            self.config = OmegaConf.load(saved)
            missing = [key for key in SECTIONS if OmegaConf.select(self.config, key) is None]
        except Exception as error:  # YAML and OmegaConf have a dozen kinds
            raise Refused(f"{saved} cannot be read ({str(error).splitlines()[0]})") from error
        if missing:
            raise Refused(f"{saved} is not the configuration of a run: {', '.join(missing)} missing")
        upgrade(self.config.model)
        self.facts = Facts.from_plain(OmegaConf.to_container(self.config.data.facts))

    def override(self, overrides: Sequence[str]) -> None:
        """Say something of the run's model anew, in this object only: `model/sampler=ddim`, `model.sampler.steps=100`, in this order.

        Raises:
            Refused: it is not of the model, there is no such choice or option, or it cannot be read.
        """
        for text in overrides:
            key, equals, value = text.partition("=")
            if not equals or not key.startswith(("model/", "model.")):
                raise Refused(
                    f"{text}: expected an option of the run's model, such as model.option=value or model/group=choice"
                )
            name = key[len("model/") :]
            if key.startswith("model/"):
                self.config.model[name] = chosen(name, value)
            elif OmegaConf.select(self.config, key.rpartition(".")[0]) is None:
                raise Refused(f"{key}: no such option{nearest(key, dotted(self.config.model, 'model.'))}")
            else:
                try:
                    self.config = OmegaConf.merge(self.config, OmegaConf.from_dotlist([text]))
                except OmegaConfBaseException as error:
                    raise Refused(f"{text}: {str(error).splitlines()[0]}") from error

    def metrics(self) -> list[dict[str, Any]]:
        """The rows of metrics.csv."""
        return self.folder.metrics()

    def results(self) -> dict[str, Any]:
        """results.json."""
        return json.loads((self.folder.path / "results.json").read_text())

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 (n, H, W, C) and labels int64 (n,)."""
        import numpy as np

        file = np.load(self.folder.path / "samples.npz")
        return file["images"], file["labels"]

    def method(self, *, trust: bool = False) -> Method:
        """The trained method, in evaluation mode on the CPU.

        Args:
            trust: build classes from elsewhere than genrun and torch, too.

        Raises:
            Refused: a class that is not trusted, or weights that are missing or damaged.
        """
        from genrun.build import build_trusted
        from genrun.training import load_weights

        if not self.folder.weights.is_file():
            raise Refused(f"{self.folder.path} has no model.safetensors yet: its training is not finished")
        node = {key: value for key, value in OmegaConf.to_container(self.config.model).items() if key != "name"}
        try:
            method = build_trusted(node, "model", trust=trust)
        except ValueError as error:
            raise Refused(str(error)) from error
        load_weights(method, self.folder.weights, f"opening {self.folder.path}")
        return method.eval().requires_grad_(False)


def upgrade(model: DictConfig) -> None:
    """Say an earlier configuration's `components` as the prior that took its place."""
    if "components" in model:
        there = OmegaConf.create({"components": model.components, "reg_covar": 1e-4})
        model.prior = (
            OmegaConf.merge(chosen("prior", "mixture"), there) if model.components else chosen("prior", "normal")
        )
        del model["components"]


def open_run(path: str | Path) -> OpenRun:
    """Open a run folder for reading; see `OpenRun`."""
    return OpenRun(path)


def chosen(group: str, choice: str) -> DictConfig:
    """A choice of a group below `model`, as the package has it.

    Raises:
        Refused: there is no such group or choice.
    """
    groups = resources.files("genrun.conf") / "model"
    there = {path.name: path for path in groups.iterdir() if path.is_dir()}
    if group not in there:
        raise Refused(f"model/{group}: no such group{nearest(group, there)}; there are {', '.join(sorted(there))}")
    files = {path.name.removesuffix(".yaml"): path for path in there[group].iterdir()}
    if choice not in files:
        raise Refused(f"model/{group}={choice}: expected {', '.join(sorted(files))}{nearest(choice, files)}")
    return OmegaConf.create(files[choice].read_text())


def dotted(node: DictConfig, prefix: str) -> list[str]:
    """Every key of a configuration, with those above it."""
    names = []
    for key, value in node.items():
        names += [f"{prefix}{key}", *(dotted(value, f"{prefix}{key}.") if OmegaConf.is_dict(value) else ())]
    return names
