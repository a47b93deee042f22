"""The jobs of a sweep, from the first to the table: started as there is room, settled as they end, stopped by a signal."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from genrun.config.compose import compose
from genrun.config.schema import check
from genrun.errors import Failed, as_genrun_error, one_line
from genrun.parts import known_run
from genrun.report.tables import table
from genrun.stages.keys import stage_keys
from genrun.sweeps.grid import described
from genrun.sweeps.jobs import Job, Launcher, Outcome, outcome_of
from genrun.sweeps.results import SHOWN, SweepResults, group_lines
from genrun.system.console import screen
from genrun.system.signals import STOPPING


class Scheduler:
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
        self.results = SweepResults(folder, overrides, keep=source.stable)
        self.console = screen()
        self.fixed = set(source.fixed)
        self.running: dict[int, Job] = {}
        self.same: dict[int, list[Job]] = {}  # jobs whose run a running job is at, by its number
        self.places: dict[int, str] = {}  # run folders of the running jobs
        self.told: set[int] = set()  # jobs that a signal was passed on to
        self.states: dict[int, str] = {}  # of the jobs that are settled
        self.ready = False
        self.received: int | None = None  # a signal

    def run(self, earlier: list[tuple[int, list[str], Outcome]]) -> int:
        """Conduct every job to its end, and print the table; those of earlier times stand in it as they are."""
        for number, overrides, outcome in earlier:
            self.states[number] = outcome.state
            self.results.add(number, described(overrides, self.fixed), outcome)
        with self.signals(), self.display(), self.stopping():
            while True:
                while self.received is None and (not self.ready or len(self.running) < self.launcher.at_once):
                    if (point := self.source.ask()) is None:
                        break
                    self.take(*point)
                self.pass_on()
                if not self.running:
                    break
                for job, how in self.launcher.ended(1.0):
                    del self.running[job.number]
                    place = self.places.pop(job.number)
                    outcome = outcome_of(job, how, place, stopped=job.number in self.told)
                    for each in [job, *self.same.pop(job.number, [])]:
                        self.settle(each, outcome)
                self.refresh()
        return self.close()

    def take(self, number: int, overrides: list[str]) -> None:
        """Start a job, unless it is done or cannot be composed, or another one is at its run."""
        place = (self.config_dir, os.getcwd(), str(self.folder), uuid.uuid4().hex)
        job = Job(number, tuple(overrides), *place, watch=self.source.watch(number))
        try:
            cfg = compose(overrides, self.config_dir)
            check(cfg)
            known = known_run(cfg)
            if known is not None and cfg.run.resume != "never" and known[1].finished(stage_keys(*known)):
                return self.settle(job, Outcome("done", run=str(known[1].path)), "was done before")
        except Exception as error:
            return self.settle(job, Outcome("cannot run", one_line(as_genrun_error(error))))
        if not self.ready:
            self.launcher.begin(self.folder, self.source.size, cfg)
            self.ready = True
            self.listen()  # an engine may have taken the signals over
        place = "" if known is None else str(known[1].path)
        for twin, other in self.places.items():
            if place and place == other:
                self.same.setdefault(twin, []).append(job)
                return None
        job.ending.unlink(missing_ok=True)
        if self.received is not None:
            return None
        self.say(f"{described(overrides, self.fixed)}: started, its output goes to {job.log}")
        try:
            self.launcher.start(job)
        except Exception as error:  # the queue is full, say: the others go on
            return self.settle(job, Outcome("failed", f"not started: {one_line(error)}", place))
        self.running[number], self.places[number] = job, place

    def pass_on(self) -> None:
        """Pass a signal that came on to every running job, once: a job may have started while it came."""
        if self.received is None:
            return
        for job in self.running.values():
            if job.number not in self.told:
                self.told.add(job.number)
                self.launcher.stop(job, self.received)

    def settle(self, job: Job, outcome: Outcome, words: str | None = None) -> None:
        outcome = self.source.tell(job.number, outcome)
        self.states[job.number] = outcome.state
        named = described(job.overrides, self.fixed)
        self.results.add(job.number, named, outcome, now=words is None)
        self.say(f"{named}: {words or outcome.words}")

    def close(self) -> int:
        """Print the tables; the exit status."""
        found = self.results.close()
        shown = Table("job", "run", "state", box=None, pad_edge=False)
        for _, named, run, words in self.results.job_lines():
            shown.add_row(*map(Text, (named, run, words)))
        self.console.print(shown)
        if found:
            headings, lines = group_lines(found, SHOWN)
            self.say("\nmean ± standard deviation")
            self.console.print(table(None, [*headings, ""], [[*line, ""] for line in lines]))
        for line in self.source.summary():
            self.say(line)
        self.say(f"\nsweep folder {self.folder}")
        if self.received is not None:
            if left := (self.source.size or 0) - len(self.states):
                self.say(f"{left} more were not started; the same command goes on with all of them")
            return 128 + (signal.SIGINT if self.received == signal.SIGINT else signal.SIGTERM)
        return 0 if set(self.states.values()) <= {"done", "pruned"} else Failed.status

    # -- signals

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """The first signal asks every job to stop, where it can save; a second one of the same kind ends them."""
        before = {number: signal.getsignal(number) for number in STOPPING}
        self.listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def listen(self) -> None:
        for number in STOPPING:
            signal.signal(number, self.take_signal)

    def take_signal(self, number: int, _: object) -> None:
        if self.received == number:
            self.launcher.kill()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = number  # and passed on from the loop, which may be starting a job now

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """Let every job save and stop when the sweep itself meets an error."""
        try:
            yield
        except BaseException:
            self.received = self.received or signal.SIGTERM
            self.pass_on()
            while self.running:
                for job, _ in self.launcher.ended(1.0):
                    del self.running[job.number]
            raise

    # -- what the user sees

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
            named = described(job.overrides, self.fixed)
            shown.add_row(Text(named), Text(last_line(job.log), style="dim", overflow="ellipsis"))
        of = f" of {self.source.size}" if self.source.size else ""
        shown.add_row(Text(f"{len(self.states)}{of} ended", style="italic"))
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
