"""`genrun refit RUN model/prior=…`: the networks of a finished run with another prior of their codes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genrun.errors import Refused
from genrun.verbs import Arguments

if TYPE_CHECKING:
    from genrun.open import OpenRun

PRIOR = ("model/prior=", "model.prior.")


def main(arguments: list[str]) -> int:
    """A run of its own beside the finished one: the run that training with this prior would have come to, without the training."""
    parser = Arguments(
        "genrun refit",
        description="Fit another prior to the codes of a finished run: model/prior=mixture model.prior.components=50. The outcome is a run "
        "of its own, sampled and judged; the finished one is not changed.",
    )
    parser.add_argument("run", help="the folder of a finished run")
    parser.add_argument("overrides", nargs="+", metavar="model/prior=choice", help="or model.prior.option=value")
    parser.add_argument("--trust", action="store_true", help="build classes from elsewhere than genrun and torch")
    asked = parser.parse_intermixed_args(arguments)
    if wrong := [text for text in asked.overrides if not text.startswith(PRIOR)]:
        raise Refused(f"{wrong[0]}: expected model/prior=choice or model.prior.option=value, the rest is the run's own")

    from genrun.open import open_run
    from genrun.run import read_facts, screen
    from genrun.run import run as do
    from genrun.runs import RunFolder
    from genrun.show import show
    from genrun.types import Refits

    run = open_run(asked.run)
    if run.status["state"] != "done":
        raise Refused(f"{asked.run} is not finished ({run.status['state']}); give its command again first")
    if "prior" not in run.config.model or not isinstance(run.method(trust=asked.trust), Refits):
        raise Refused(f"{asked.run}: its model ({run.config.model.name}) has no prior of codes to fit")
    run.override(asked.overrides)
    prepare(run, trust=asked.trust)
    read_facts(run.config)
    there = RunFolder.of(run.config)
    if there.status()["state"] == "done":  # by an earlier refit, or trained with this prior: it is left as it is
        show(there, screen())
    else:
        do(run.config, [*asked.overrides, f"run.refit_of={asked.run}"])
    return 0


def prepare(run: OpenRun, *, trust: bool) -> None:
    """Let the run's configuration, in this object, describe the new run, beside the old one.

    Raises:
        Refused: it names what is not trusted.
    """
    from omegaconf import OmegaConf, open_dict

    from genrun.build import TRUSTED_RUN, check_trusted
    from genrun.cli import compose

    config, here = run.config, compose([])
    folder = run.folder.path.resolve()
    with open_dict(config):
        config.run = OmegaConf.merge(here.run, {"refit_of": str(folder), "init_from": config.run.get("init_from")})
        theirs = {
            key: config.hardware[key] for key in ("precision", "compile", "memory_format") if key in config.hardware
        }
        config.hardware = OmegaConf.merge(here.hardware, theirs)
        config.logger = {}
        moved = folder.parent.name != f"{config.model.name}-{config.data.name}"
        config.paths.outputs = str(folder.parent if moved else folder.parent.parent)
        config.paths.cache = here.paths.cache
        if "root" in config.data.source and not Path(config.data.source.root).is_dir():
            config.data.source.root = here.paths.data
    if not trust:
        for section, trusted in TRUSTED_RUN.items():
            check_trusted(OmegaConf.to_container(config[section]), section, trusted)
