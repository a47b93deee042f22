"""`genrun -m`: what a sweep is asked, and its listing."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from genrun.config.build import build
from genrun.config.compose import compose
from genrun.config.schema import check, check_name
from genrun.errors import Failed, GenrunError, Refused
from genrun.parts import read_facts, with_facts
from genrun.runs.folder import RunFolder
from genrun.runs.identity import digest
from genrun.stages.keys import state_of
from genrun.sweeps.grid import described, expand, in_all, parsed
from genrun.sweeps.scheduler import Scheduler
from genrun.system.console import screen
from genrun.system.locks import hold

OWN = ("hydra/", "hydra.", "sweep.", "paths.")  # what is said of the sweep; the last two also of its jobs


def sweep(overrides: list[str], config_dir: str | None) -> int:
    """Do what is missing of every job; one that fails, is killed or cannot even be composed neither stops nor hides the others.

    Returns:
        0 when all jobs are done, 1 when one is not, 130 or 143 when a signal ended the sweep.

    Raises:
        Refused: the sweep itself cannot be read, or another process is at it.
    """
    of_jobs = [text for text in overrides if not text.lstrip("+~").startswith(("hydra/", "hydra."))]
    parsed(of_jobs)
    cfg = compose([text for text in overrides if text.lstrip("+~").startswith(OWN)], config_dir, hydra=True)
    check_name("sweep.name", cfg.sweep.name)
    for part in ("sweeper", "launcher"):
        if not str(cfg.hydra[part]._target_).startswith("genrun."):
            raise Refused(f"hydra/{part}: Hydra's own cannot run these jobs; leave it out, or see docs/sweeps.md")
    source, launcher = (build(cfg.hydra[part], f"hydra.{part}") for part in ("sweeper", "launcher"))
    if "run.dry_run=true" in overrides:
        return listed(of_jobs, config_dir)
    name = cfg.sweep.name or digest([*sorted(set(of_jobs) - {"run.debug=true"}), *source.named])
    folder = Path(cfg.paths.outputs) / "sweeps" / name
    try:
        (folder / "jobs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"cannot write {folder}: {error.strerror}; choose another with paths.outputs=…") from None
    with hold(folder, "choose another sweep.name"):
        earlier = source.begin(of_jobs, folder, config_dir)
        return Scheduler(source, launcher, folder, overrides, config_dir).run(earlier)


def listed(overrides: list[str], config_dir: str | None) -> int:
    """Print what every job of a grid would find: `done`, `to resume`, `failed` or `new`; 1 when one cannot run."""
    jobs = expand(overrides)
    console, shown, worst = screen(), Table("job", "run", "state", box=None, pad_edge=False), 0
    fixed = in_all(jobs)
    for job in jobs:
        try:
            cfg = compose(job, config_dir)
            check(cfg)
            cfg = with_facts(cfg, read_facts(cfg)[0])
            folder = RunFolder.of(cfg)
            shown.add_row(described(job, fixed), str(folder.path), state_of(cfg, folder))
        except GenrunError as error:
            shown.add_row(described(job, fixed), "", f"cannot run: {error}")
            worst = Failed.status
    console.print(shown)
    return worst
