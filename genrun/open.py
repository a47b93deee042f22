"""The notebook's door to a run: `genrun.open_run(path)`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from genrun.errors import Refused
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
        self.facts = Facts.from_plain(OmegaConf.to_container(self.config.data.facts))

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
        method = build_trusted(node, "model", trust=trust)
        load_weights(method, self.folder.weights, f"opening {self.folder.path}")
        return method.eval().requires_grad_(False)


def open_run(path: str | Path) -> OpenRun:
    """Open a run folder for reading; see `OpenRun`."""
    return OpenRun(path)
