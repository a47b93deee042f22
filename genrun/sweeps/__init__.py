"""`genrun -m`: every job in a process of its own, and one table at the end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.live import Live
from rich.table import Table
from rich.text import Text

from genrun.build import build
from genrun.cli import compose
from genrun.data.facts import recall
from genrun.errors import Failed, GenrunError, Refused
from genrun.locks import hold
from genrun.run import described_data, read_facts, screen, stage_keys, state_of
from genrun.runs import RunFolder, digest
from genrun.show import table
from genrun.signals import STOPPING
from genrun.sweeps.grid import expand, in_all, parsed
from genrun.sweeps.jobs import Job, Launcher, Outcome, outcome_of
from genrun.sweeps.record import SHOWN, Record, group_lines

OWN = ("hydra/", "hydra.", "sweep.", "paths.")  # what is said of the sweep; the last two also of its jobs


def sweep(overrides: list[str], config_dir: str | None) -> int:
    """Do what is missing of every job; one that fails, is killed or cannot even be composed neither stops nor hides the others.

    Returns:
        0 when all jobs are done, 1 when one is not, 130 or 143 when a signal ended the sweep.

    Raises:
        Refused: the sweep itself cannot be read, or another process is at it.
    """
    of_jobs = [text for text in overrides if not text.lstrip("+~").startswith(("hydra/", "hydra."))]
    if "run.dry_run=true" in overrides:
        return listed(of_jobs, config_dir)
    cfg = compose([text for text in overrides if text.lstrip("+~").startswith(OWN)], config_dir, hydra=True)
    source, launcher = (build(cfg.hydra[part], f"hydra.{part}") for part in ("sweeper", "launcher"))
    parsed(of_jobs)  # known before a folder is made
    name = cfg.sweep.name or digest(sorted(of_jobs))
    folder = Path(cfg.paths.outputs) / "sweeps" / name
    try:
        (folder / "jobs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"cannot write {folder}: {error.strerror}; choose another with paths.outputs=…") from None
    with hold(folder, "choose another sweep.name"):
        earlier = source.begin(of_jobs, folder, config_dir)
        return Conduct(source, launcher, folder, overrides, config_dir).all(earlier)


def listed(overrides: list[str], config_dir: str | None) -> int:
    """Print what every job of a grid would find: `done`, `to resume` or `new`; 1 when one cannot be composed."""
    jobs = expand(overrides)
    console, shown, worst = screen(), Table("job", "run", "state", box=None, pad_edge=False), 0
    fixed = in_all(jobs)
    for job in jobs:
        described = " ".join(text for text in job if text not in fixed)
        try:
            cfg = compose(job, config_dir)
            read_facts(cfg)
            folder = RunFolder.of(cfg)
            shown.add_row(described, str(folder.path), state_of(cfg, folder))
        except GenrunError as error:
            shown.add_row(described, "", f"cannot run: {error}")
            worst = Failed.status
    console.print(shown)
    return worst


class Conduct:
    """The jobs that a source asks for, on the engine of a launcher.

    Args:
        source: a grid or a search.
        launcher: starts jobs.
        folder: of the sweep.
        overrides: of the sweep, as they were given.
        config_dir: the user's own groups.
    """

    def __init__(
        self, source: Any, launcher: Launcher, folder: Path, overrides: list[str], config_dir: str | None
    ) -> None:
        self.source, self.launcher, self.folder, self.config_dir = source, launcher, folder, config_dir
        self.record = Record(folder, overrides)
        self.console = screen()
        self.fixed = set(source.fixed)
        self.running: dict[int, Job] = {}
        self.ready = False
        self.received: int | None = None  # a signal

    def all(self, earlier: list[tuple[list[str], Outcome]]) -> int:
        """Conduct every job to its end, and print the table; those of earlier times stand in it as they are."""
        for number, (overrides, outcome) in enumerate(earlier):
            self.record.add(number, self.described(overrides), outcome)
        number = len(earlier)
        with self.signals(), self.display(), self.stopping():
            while True:
                while self.received is None and (not self.ready or len(self.running) < self.launcher.at_once):
                    if (overrides := self.source.ask(number)) is None:
                        break
                    self.take(number, overrides)
                    number += 1
                if not self.running:
                    break
                for job, how in self.launcher.ended(1.0):
                    del self.running[job.number]
                    self.settle(job, outcome_of(job, how, self.place(job)))
                self.refresh()
        return self.close()

    def take(self, number: int, overrides: list[str]) -> None:
        """Start a job, unless it is done or cannot be composed."""
        place = (self.config_dir, os.getcwd(), str(self.folder))
        job = Job(number, tuple(overrides), *place, watch=self.source.watch(number))
        try:
            cfg = compose(overrides, self.config_dir)
            done = known(cfg)
        except GenrunError as error:
            return self.settle(job, Outcome("cannot run", " ".join(str(error).split())))
        if done is not None:
            return self.settle(job, Outcome("done", run=str(done.path)), "was done before")
        if not self.ready:
            self.launcher.begin(self.folder, self.source.size, cfg)
            self.ready = True
        job.ending.unlink(missing_ok=True)
        self.running[number] = job
        self.say(f"{self.described(job.overrides)}: started, its output goes to {job.log}")
        self.launcher.start(job)

    def settle(self, job: Job, outcome: Outcome, words: str | None = None) -> None:
        self.record.add(job.number, self.described(job.overrides), outcome)
        self.source.tell(job.number, outcome)
        self.say(f"{self.described(job.overrides)}: {words or outcome.words}")

    def place(self, job: Job) -> str:
        """The folder of a job's run; empty where it cannot be known."""
        try:
            cfg = compose(list(job.overrides), self.config_dir)
            if not remembered(cfg):
                return ""
            return str(RunFolder.of(cfg).path)
        except GenrunError:
            return ""

    def described(self, overrides: Sequence[str]) -> str:
        """What tells a job from the others."""
        return " ".join(text for text in overrides if text not in self.fixed) or "the only job"

    def close(self) -> int:
        """Print the tables; the exit status."""
        found = self.record.close()
        shown = Table("job", "run", "state", box=None, pad_edge=False)
        for _, described, run, words in self.record.job_lines():
            shown.add_row(*map(Text, (described, run, words)))
        self.console.print(shown)
        if found:
            headings, lines = group_lines(found, SHOWN)
            self.say("\nmean ± standard deviation")
            self.console.print(table(None, [*headings, ""], [[*line, ""] for line in lines]))
        for line in self.source.end():
            self.say(line)
        self.say(f"\nsweep folder {self.folder}")
        if self.received is not None:
            if left := (self.source.size or 0) - len(self.record.jobs):
                self.say(f"{left} more were not started; the same command goes on with all of them")
            return 128 + (signal.SIGINT if self.received == signal.SIGINT else signal.SIGTERM)
        states = {outcome.state for _, outcome in self.record.jobs.values()}
        return 0 if states <= {"done", "pruned"} else Failed.status

    # -- what the user sees, and says

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """The first signal asks every job to stop, where it can save; a second one of the same kind ends them."""

        def take(number: int, _: object) -> None:
            if self.received == number:
                self.launcher.kill()
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            self.received = number
            if self.ready:
                self.launcher.stop(number)

        before = {number: signal.signal(number, take) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Let every job save and stop when the sweep itself meets an error."""
        try:
            yield
        except BaseException:
            if self.running:
                self.launcher.stop(signal.SIGTERM)
                while self.running:
                    for job, _ in self.launcher.ended(1.0):
                        del self.running[job.number]
            raise

    @contextlib.contextmanager
    def display(self) -> Iterator[None]:
        """On a terminal the running jobs with the last line of each, below what has been said."""
        self.live = None
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self.live:
            yield
        self.live = None

    def refresh(self) -> None:
        if self.live is None:
            return
        shown = Table.grid(padding=(0, 2))
        for job in self.running.values():
            shown.add_row(
                Text(self.described(job.overrides)), Text(last_line(job.log), style="dim", overflow="ellipsis")
            )
        of = f" of {self.source.size}" if self.source.size else ""
        shown.add_row(Text(f"{len(self.record.jobs)}{of} ended", style="italic"))
        self.live.update(shown, refresh=True)

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def last_line(log: Path) -> str:
    """The last line of a file; empty where there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.path.getsize(log) - 1000))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")


def remembered(cfg: DictConfig) -> bool:
    """Write the facts of the data into the configuration where they are known without reading it."""
    facts = recall(described_data(cfg), Path(cfg.paths.cache).expanduser())
    if facts is not None:
        cfg.data.facts = facts.plain()
    return facts is not None


def known(cfg: DictConfig) -> RunFolder | None:
    """The run that this configuration describes, where it is finished."""
    if cfg.run.resume == "never" or not remembered(cfg):
        return None
    folder = RunFolder.of(cfg)
    return folder if folder.finished(stage_keys(cfg, folder)) else None
