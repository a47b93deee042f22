"""`genrun -m`: read a sweep's overrides, then run its jobs or list them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from genrun.config.build import build
from genrun.config.compose import compose
from genrun.config.kept import keep_configuration
from genrun.config.schema import check, check_name
from genrun.errors import Failed, GenrunError, Refused, before_training
from genrun.parts import build_data, read_facts, with_facts
from genrun.report.screen import JobTable
from genrun.runs.folder import RunFolder
from genrun.runs.identity import digest
from genrun.stages.keys import state_of
from genrun.sweeps.grid import common_overrides, expand, job_name, parse_overrides
from genrun.sweeps.jobs import CANNOT_RUN, Outcome
from genrun.sweeps.scheduler import Scheduler
from genrun.system.console import screen
from genrun.system.locks import hold

HYDRA_PREFIXES = ("hydra/", "hydra.")  # options of the sweep alone
SWEEP_PREFIXES = (*HYDRA_PREFIXES, "sweep.", "paths.")  # the last two are options of the jobs as well


def sweep(overrides: list[str], config_dir: str | None) -> int:
    """Run every job of a sweep that is not done yet.

    A job that fails, is killed or cannot be composed neither stops nor hides the others.

    Returns:
        0 when all jobs are done, 1 when one is not, 130 or 143 when a signal ended the sweep.

    Raises:
        Refused: the sweep's overrides cannot be read, or another process is at the sweep.
    """
    job_overrides = [text for text in overrides if not text.lstrip("+~").startswith(HYDRA_PREFIXES)]
    parse_overrides(job_overrides, config_dir)
    sweep_overrides = [text for text in overrides if text.lstrip("+~").startswith(SWEEP_PREFIXES)]
    cfg = compose(sweep_overrides, config_dir, hydra=True)
    source = build_own("sweeper", cfg)
    if "run.dry_run=true" in overrides:
        return list_jobs(job_overrides, config_dir)
    name = cfg.sweep.name or digest([*sorted(set(job_overrides) - {"run.debug=true"}), *source.name_parts])
    folder = Path(cfg.paths.outputs) / "sweeps" / name
    return run_source(
        source, cfg, folder, overrides, config_dir, lambda: source.begin(job_overrides, folder, config_dir)
    )


def run_source(
    source: Any,
    cfg: DictConfig,
    folder: Path,
    overrides: list[str],
    config_dir: str | None,
    begin: Callable[[], list[tuple[int, list[str], Outcome]]] = list,
) -> int:
    """Run the jobs of a source, with the launcher that the configuration names.

    Args:
        source: says which jobs there are: a grid, a search or a reproduction.
        cfg: a configuration with that of Hydra in it.
        folder: of the sweep, `<outputs>/sweeps/<name>`.
        overrides: of the sweep.
        config_dir: the folder of the user's own configuration groups.
        begin: makes the source ready while no other process can be at the sweep, and returns what earlier starts of it did.

    Returns:
        The exit status, see `sweep`.

    Raises:
        Refused: the folder cannot be written, or another process is at the sweep.
    """
    check_name("sweep.name", cfg.sweep.name)
    launcher = build_own("launcher", cfg)
    outputs = Path(cfg.paths.outputs)
    try:
        (folder / "jobs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"cannot write {folder}: {error.strerror}; choose another with paths.outputs=…") from None
    with hold(folder, "choose another sweep.name"):
        keep_configuration(folder / "configuration", config_dir, outputs)
        os.environ["PYTHONSAFEPATH"] = "1"  # the processes of jobs: files of the current folder must not hide a library
        earlier = begin()  # the scheduler names jobs by what the source then knows
        return Scheduler(source, launcher, folder, overrides, config_dir).run(earlier)


def build_own(part: str, cfg: DictConfig) -> Any:
    """Build the sweeper or the launcher of a configuration.

    Raises:
        Refused: it is Hydra's own.
    """
    if not str(cfg.hydra[part]._target_).startswith("genrun."):
        raise Refused(f"hydra/{part}: genrun cannot use Hydra's own {part}; leave it out, or see docs/sweeps.md")
    return build(cfg.hydra[part], f"hydra.{part}")


def list_jobs(overrides: list[str], config_dir: str | None) -> int:
    """Print the state of every job of a grid: `done`, `to resume`, `failed` or `new`. A job that is not done is built, but not trained.

    Returns:
        0, or 1 when a job cannot run.
    """
    from genrun.dry_run import build_all

    jobs = expand(overrides, config_dir)
    lines, status, refused = [], 0, {}
    fixed = common_overrides(jobs)
    for job in jobs:
        try:
            with before_training():
                cfg = compose(job, config_dir)
                check(cfg)
                facts, data = read_facts(cfg)
                cfg = with_facts(cfg, facts)
                folder = RunFolder.of(cfg)
                state = state_of(cfg, folder)
                if state != "done":
                    build_all(cfg, data or build_data(cfg))
            lines.append((job_name(job, fixed), str(folder.path), state))
        except GenrunError as error:
            name = job_name(job, fixed)
            lines.append((name, "", Outcome(CANNOT_RUN, str(error)).after(name, refused)))
            status = Failed.status
    screen().print(JobTable(lines))
    return status
