"""Open a run folder for reading. `genrun.open_run(path)` adds what a notebook shows (genrun.report.notebook)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from genrun.compat import dotted_keys
from genrun.config.choices import load_choice
from genrun.errors import GenrunError, Refused, nearest, one_line
from genrun.runs.folder import FORMAT, RunFolder
from genrun.runs.records import check_samples, read_config
from genrun.types import Facts

if TYPE_CHECKING:
    import numpy as np

    from genrun.methods.method import Method


class OpenRun:
    """A run folder, opened for reading: its configuration, its tables and its trained method.

    Args:
        path: a run folder; it may have been moved, or made on another machine.
        lazy: read the configuration when it is first used. This takes most of the time, and a list of runs may not need it.

    Raises:
        Refused: it is not a run folder, its configuration cannot be read or is incomplete, or it has a later format.
    """

    def __init__(self, path: str | Path, *, lazy: bool = False) -> None:
        self.folder = RunFolder(Path(path))
        if not lazy:
            self.config = self._read_config()
        elif not (self.folder.path / "config.yaml").is_file():
            raise Refused(f"{path}: expected a run folder (with config.yaml), found none there")
        self.status = self.folder.status()
        if self.status["format"] > FORMAT:
            raise Refused(
                f"{path} has format {self.status['format']}, this genrun reads up to {FORMAT}: use a newer genrun"
            )

    @cached_property
    def config(self) -> DictConfig:
        """The configuration of the run."""
        return self._read_config()

    def _read_config(self) -> DictConfig:
        config = read_config(self.folder.path)
        upgrade(config.model)
        return config

    @cached_property
    def facts(self) -> Facts:
        """The facts of the data that the run was trained on."""
        return Facts.from_dict(OmegaConf.to_container(self.config.data.facts))

    def override(self, overrides: Sequence[str], config_dir: str | None = None) -> None:
        """Change options of the run's model in this object only; the run folder stays as it is.

        Args:
            overrides: such as `model/sampler=ddim` and `model.sampler.steps=100`, applied in this order.
            config_dir: a folder of the user's own groups.

        Raises:
            Refused: it is no option of the model, there is no such choice or option, or the value cannot be read.
        """
        for text in overrides:
            key, equals, value = text.partition("=")
            if not equals or not key.startswith(("model/", "model.")):
                raise Refused(
                    f"{text}: expected an option of the run's model, such as model.option=value or model/group=choice"
                )
            name = key[len("model/") :]
            if key.startswith("model/"):
                self.config.model[name] = load_choice(name, value, config_dir)
            elif OmegaConf.select(self.config, key.rpartition(".")[0]) is None:
                raise Refused(f"{key}: no such option{nearest(key, dotted_keys(self.config.model, 'model.'))}")
            else:
                try:
                    self.config = OmegaConf.merge(self.config, OmegaConf.from_dotlist([text]))
                except OmegaConfBaseException as error:
                    raise Refused(f"{text}: {str(error).splitlines()[0]}") from error

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows of metrics.csv."""
        return self.folder.metrics()

    def samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the samples of the run: images uint8 (n, H, W, C) and labels int64 (n,)."""
        import numpy as np

        path = self.folder.path / "samples.npz"
        if not path.is_file():
            raise Refused(f"{path} is missing or is not a file; the command of this run makes it again")
        check_samples(path, self.config.sample.n, self.facts.image_shape)
        file = np.load(path)
        return file["images"], file["labels"]

    def check_trusted(self, *, data: bool = False) -> None:
        """Check that the run's model has only classes of genrun and torch. This checks names only, so it is quick.

        Args:
            data: also check that the run's data is read by a function of genrun.

        Raises:
            Refused: a class or function is from elsewhere.
        """
        from genrun.config.trust import TRUSTED_DATA, check_trusted_names
        from genrun.data.facts import described_data

        check_trusted_names(OmegaConf.to_container(self.config.model), "model")
        if data:
            check_trusted_names(described_data(self.config), "data", TRUSTED_DATA)

    def method(self, *, trust: bool = False) -> Method:
        """Return the trained method, in evaluation mode on the CPU.

        Args:
            trust: also build classes from outside genrun and torch, including those in the current folder.

        Raises:
            Refused: a class is not trusted, the model cannot be built, needs more memory than its weights, or the weights are missing or
                damaged.
        """
        from genrun.config.trust import allow_own_modules, build_trusted
        from genrun.methods.method import check_is_method
        from genrun.runs.weights import check_size, load_weights

        if trust:
            allow_own_modules()
        if not self.folder.weights.is_file():
            raise Refused(f"{self.folder.path} has no model.safetensors yet: its training is not finished")
        node = {key: value for key, value in OmegaConf.to_container(self.config.model).items() if key != "name"}
        why = f"opening {self.folder.path}"

        def build() -> Method:
            made = build_trusted(node, "model", trust=trust)
            check_is_method(made, why)
            return made

        try:
            if not trust:
                check_size(build, self.folder.weights, why)
            method = build()
            load_weights(method, self.folder.weights, why)
        except GenrunError:
            raise
        except Exception as error:  # wrong values of options come out of torch in any form
            raise Refused(f"{why}: its model cannot be built ({one_line(error)})") from error
        method.phase = next(reversed(method.phases()), "")
        return method.eval().requires_grad_(False)


def upgrade(model: DictConfig) -> None:
    """Replace the option `components` of an earlier version by `prior`, in place."""
    if "components" in model:
        there = OmegaConf.create({"components": model.components, "reg_covar": 1e-4})
        model.prior = (
            OmegaConf.merge(load_choice("prior", "mixture"), there)
            if model.components
            else load_choice("prior", "normal")
        )
        del model["components"]


def open_run(path: str | Path) -> OpenRun:
    """Open a run folder for reading and return it as an `OpenRun`."""
    return OpenRun(path)
