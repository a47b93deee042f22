"""The judge of a data set, and the judge of a run: with the options of a command, on the data that the run was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genrun.errors import Refused, one_line

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

    from genrun.data.module import ImageData
    from genrun.evaluation.judge import Judge
    from genrun.runs.open import OpenRun
    from genrun.types import Facts


def make_judge(cfg: DictConfig, console: Console) -> Judge:
    """Build the judge for the data set of `cfg`; its images are not read if the cache has what is needed."""
    from genrun.config.schema import check
    from genrun.parts import build_data, build_judge, read_facts, with_facts
    from genrun.system.threads import set_threads

    check(cfg)
    set_threads(cfg.hardware.threads, console=console)
    facts, data = read_facts(cfg)
    return build_judge(with_facts(cfg, facts), data or build_data(cfg), console)


def compose_for_run(folder: Path, overrides: list[str], config_dir: str | None, console: Console) -> DictConfig:
    """Compose the options for judging a run, with those that the YAML of its model or experiment sets: `evaluation.reconstructions`.

    If they cannot be composed here, such as a model of another `--config-dir`, they set none, and a line on the console says so.
    """
    from genrun.config.compose import compose
    from genrun.runs.records import read_words
    from genrun.system.console import say

    chosen = [word for word in read_words(folder / "overrides.yaml") if word.startswith(("model=", "experiment="))]
    try:
        return compose([*chosen, *overrides], config_dir)
    except Refused as error:
        cfg = compose(overrides, config_dir)  # refuses what is wrong with the overrides
        if chosen:
            default = [] if any(word.startswith("evaluation=") for word in overrides) else ["evaluation=full"]
            say(
                console,
                f"{folder}: the options that {' and '.join(chosen)} may set for the judge are not known here "
                f"({one_line(error)}); used instead: {' '.join([*default, *overrides])}",
            )
        return cfg


def config_to_judge_by(run: OpenRun, cfg: DictConfig, *, moved: bool = False) -> DictConfig:
    """Return a run's configuration with the options of evaluation, hardware and cache of `cfg`.

    Args:
        moved: whether to read the data from `cfg.paths.data`. This is also done if the run's own data folder does not exist.
    """
    config = run.config.copy()
    config.evaluation, config.hardware, config.paths.cache = cfg.evaluation, cfg.hardware, cfg.paths.cache
    if "root" in config.data.source and (moved or not Path(config.data.source.root).is_dir()):
        config.data.source.root = cfg.paths.data
    return config


def data_of(run: OpenRun, config: DictConfig, *, trust: bool) -> tuple[Facts, ImageData]:
    """Build the data module for the data that a run was trained on, and read its facts.

    Args:
        config: see `config_to_judge_by`.
        trust: whether the data may be read by functions that are not trusted.

    Raises:
        Refused: the data is missing or differs from that of the run, or the configuration names a function that is not trusted.
    """
    from genrun.config.schema import check
    from genrun.config.trust import TRUSTED_DATA, check_trusted
    from genrun.data.facts import described_data
    from genrun.parts import build_data, read_facts

    if not trust:
        check_trusted(described_data(config), "data", TRUSTED_DATA)
    check(config)
    facts, data = read_facts(config)
    if facts.checksum != run.facts.checksum:
        seen = f"checksum {run.facts.checksum[:8]}, here {facts.checksum[:8]}"
        raise Refused(f"{run.folder.path} was trained on other data ({seen})")
    return facts, data or build_data(config)


def judge_of(run: OpenRun, config: DictConfig, console: Console, *, trust: bool) -> Judge:
    """Build the judge for the data that a run was trained on; see `data_of`."""
    from genrun.parts import build_judge, with_facts
    from genrun.system.threads import set_threads

    facts, data = data_of(run, config, trust=trust)
    set_threads(config.hardware.threads, console=console)
    return build_judge(with_facts(config, facts), data, console)
