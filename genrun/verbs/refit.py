"""`genrun refit RUN model/prior=…`: fit another prior to the codes of a finished run, and keep its networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genrun.errors import Refused
from genrun.runs.find import find_run
from genrun.verbs.arguments import RUN, Arguments, need_torch, open_checked, outputs_folder

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from genrun.runs.open import OpenRun


def main(arguments: list[str]) -> int:
    """Make a new run beside the finished one: the run that training with this prior would give, without the training."""
    parser = Arguments(
        "genrun refit",
        description="Fit another prior to the codes of a finished run: model/prior=mixture model.prior.components=50. The result is a new "
        "run, sampled and judged; the finished run is not changed.",
    )
    parser.add_argument("run", metavar="RUN", help=RUN)
    parser.add_argument("overrides", nargs="+", metavar="model/prior=choice", help="or model.prior.option=value")
    parser.add_argument("--config-dir", help="a folder of your own groups")
    parser.add_argument("--trust", action="store_true", help="also build classes that are not of genrun or torch")
    asked = parser.parse_intermixed_args(arguments)
    asked.overrides, outputs = outputs_folder(asked.overrides)
    if wrong := [text for text in asked.overrides if not text.startswith(("model/", "model."))]:
        raise Refused(
            f"{wrong[0]}: expected an option of how codes are drawn, such as model/prior=choice; the rest is the run's own"
        )
    asked.run = find_run(asked.run, outputs)
    run = open_checked(asked.run, trust=asked.trust, data=True, trained=True)
    need_torch()

    from genrun.parts import read_facts, with_facts
    from genrun.report.tables import show
    from genrun.run import run as do_run
    from genrun.runs.folder import RunFolder
    from genrun.system.console import screen
    from genrun.types import Refits

    method = run.method(trust=asked.trust)
    if not isinstance(method, Refits) or method.refitted_part() not in run.config.model:
        raise Refused(f"{asked.run}: its model ({run.config.model.name}) has no prior of codes to fit")
    part = method.refitted_part()
    others = tuple(f"model.{option}=" for option in method.sampling_options)
    if wrong := [
        text for text in asked.overrides if not text.startswith((f"model/{part}=", f"model.{part}.", *others))
    ]:
        named = "".join(f", {option}…" for option in others)
        raise Refused(
            f"{wrong[0]}: expected model/{part}=choice or model.{part}.option=value{named}; the rest is the run's own"
        )
    run = open_checked(asked.run, asked.overrides, asked.config_dir, trust=asked.trust, data=True)
    cfg = refit_config(run)
    if not asked.trust:
        check_run_trusted(cfg)
    there = RunFolder.of(with_facts(cfg, read_facts(cfg)[0]))
    if there.status()["state"] == "done":  # an earlier refit, or a run trained with this prior: do not change it
        show(there, screen())
    else:
        do_run(cfg, [*asked.overrides, f"run.refit_of={asked.run}"])
    return 0


def refit_config(run: OpenRun) -> DictConfig:
    """Return the configuration of the new run, whose folder is beside that of the old run."""
    from omegaconf import OmegaConf, open_dict

    from genrun.config.compose import compose

    config, here = run.config.copy(), compose([])
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
    return config


def check_run_trusted(config: DictConfig) -> None:
    """Check that every section of a saved configuration builds only trusted classes and functions.

    Raises:
        Refused: a class or function is not trusted.
    """
    from omegaconf import OmegaConf

    from genrun.config.trust import TRUSTED_RUN, check_trusted

    for section, trusted in TRUSTED_RUN.items():
        check_trusted(OmegaConf.to_container(config[section]), section, trusted)
