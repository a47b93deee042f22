"""Run the jobs of a sweep: start them as there is room, record their outcomes, stop them on a signal, print the table."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.live import Live
from rich.table import Table
from rich.text import Text

from genrun.config.compose import compose
from genrun.config.schema import check
from genrun.errors import Failed, as_genrun_error, one_line
from genrun.parts import known_run
from genrun.report.screen import JobTable
from genrun.stages.keys import stage_keys
from genrun.sweeps.grid import job_name
from genrun.sweeps.jobs import CANNOT_RUN, Job, Launcher, Outcome, outcome_of
from genrun.sweeps.results import SweepResults
from genrun.system.console import screen
from genrun.system.signals import STOPPING


class Scheduler:
    """Runs the jobs of a grid or a search with a launcher.

    Args:
        source: a grid or a search. It says which jobs to run.
        launcher: starts the jobs.
        folder: of the sweep.
        overrides: of the sweep, as the user gave them.
        config_dir: the folder of the user's own configuration groups.
    """

    def __init__(
        self, source: Any, launcher: Launcher, folder: Path, overrides: list[str], config_dir: str | None
    ) -> None:
        self.source, self.launcher, self.folder, self.config_dir = source, launcher, folder, config_dir
        self.results = SweepResults(folder, overrides, keep_earlier=source.stable_numbers)
        self.console = screen()
        self.fixed = set(source.fixed)  # overrides that all jobs share
        self.running: dict[int, Job] = {}  # by number
        self.run_folders: dict[int, str] = {}  # of the running jobs, by number
        self.duplicates: dict[int, list[Job]] = {}  # number of a running job → other jobs with the same run
        self.signalled: set[int] = set()  # numbers of the jobs that a signal was sent to
        self.states: dict[int, str] = {}  # of the jobs that have an outcome
        self.refused: dict[str, str] = {}  # error → name of the first job that was refused for it
        self.launcher_ready = False
        self.received: int | None = None  # the signal that asks the sweep to stop

    def run(self, earlier: list[tuple[int, list[str], Outcome]]) -> int:
        """Run every job to its end, and print the tables.

        Args:
            earlier: number, overrides and outcome of jobs of earlier starts, which are listed but not run.

        Returns:
            The exit status.
        """
        for number, overrides, outcome in earlier:
            self.states[number] = outcome.state
            self.results.add(number, job_name(overrides, self.fixed), outcome)
        with self.handle_signals(), self.live_display(), self.stop_jobs_on_error():
            while True:
                self.start_jobs()
                self.forward_signal()
                if not self.running:
                    break
                self.collect_ended_jobs()
                self.refresh_display()
        self.print_results()
        return self.exit_status()

    # -- jobs

    def start_jobs(self) -> None:
        """Start jobs while there is room and no signal has come."""
        while self.received is None and (not self.launcher_ready or len(self.running) < self.launcher.at_once):
            if (next_job := self.source.ask()) is None:
                break
            self.start_job(*next_job)

    def start_job(self, number: int, overrides: list[str]) -> None:
        """Start a job, unless it is done, cannot be composed, or another job is at its run."""
        place = (self.config_dir, os.getcwd(), str(self.folder), uuid.uuid4().hex)
        job = Job(number, tuple(overrides), *place, reporter=self.source.reporter(number))
        try:
            cfg = compose(overrides, self.config_dir, kept=job.configuration)
            check(cfg)
            known = known_run(cfg)
            if known is not None and cfg.run.resume != "never" and known[1].finished(stage_keys(*known)):
                return self.record(job, Outcome("done", run=str(known[1].path)), "was done before")
        except Exception as error:
            return self.record(job, Outcome(CANNOT_RUN, one_line(as_genrun_error(error))))
        if not self.launcher_ready:
            self.prepare_launcher(cfg)
        run_folder = "" if known is None else str(known[1].path)
        if self.wait_for_same_run(job, run_folder):
            return None
        job.result_file.unlink(missing_ok=True)
        if self.received is not None:
            return None
        self.say(f"{job_name(overrides, self.fixed)}: started, its output goes to {job.log}")
        try:
            self.launcher.start(job)
        except Exception as error:  # for example a full queue: the other jobs still run
            return self.record(job, Outcome("failed", f"not started: {one_line(error)}", run_folder))
        self.running[number], self.run_folders[number] = job, run_folder

    def prepare_launcher(self, cfg: DictConfig) -> None:
        """Prepare the launcher with the configuration of the first job that it will start."""
        self.launcher.begin(self.folder, self.source.size, cfg)
        self.launcher_ready = True
        self.install_signal_handlers()  # a launcher's library may have installed its own

    def wait_for_same_run(self, job: Job, run_folder: str) -> bool:
        """Let a job share the outcome of a running job with the same run folder. Return whether there is one."""
        for number, other in self.run_folders.items():
            if run_folder and run_folder == other:
                self.duplicates.setdefault(number, []).append(job)
                return True
        return False

    def collect_ended_jobs(self) -> None:
        """Record the outcomes of jobs whose processes have ended. Waits at most a second for the first."""
        for job, exit_description in self.launcher.ended(1.0):
            del self.running[job.number]
            run_folder = self.run_folders.pop(job.number)
            outcome = outcome_of(job, exit_description, run_folder, stopped=job.number in self.signalled)
            for each in [job, *self.duplicates.pop(job.number, [])]:
                self.record(each, outcome)

    def record(self, job: Job, outcome: Outcome, message: str | None = None) -> None:
        """Record the outcome of a job, and print it, or the message instead.

        Args:
            job: the job.
            outcome: of the job.
            message: for a job that was done before. results.json is then not written for this job alone.
        """
        outcome = self.source.tell(job.number, outcome)
        self.states[job.number] = outcome.state
        name = job_name(job.overrides, self.fixed)
        self.results.add(job.number, name, outcome, save=message is None)
        self.say(f"{name}: {message or outcome.after(name, self.refused)}")

    # -- signals

    @contextlib.contextmanager
    def handle_signals(self) -> Iterator[None]:
        """Handle signals: the first one asks every job to save and stop, a second one of the same kind ends them at once."""
        before = {number: signal.getsignal(number) for number in STOPPING}
        self.install_signal_handlers()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def install_signal_handlers(self) -> None:
        """Call `on_signal` for each signal that stops a sweep."""
        for number in STOPPING:
            signal.signal(number, self.on_signal)

    def on_signal(self, number: int, _: object) -> None:
        """Note the signal. When it comes a second time, end every job and this process."""
        if self.received == number:
            self.launcher.kill()
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.received = self.received or number  # the loop of `run` forwards it: it may be starting a job now

    def forward_signal(self) -> None:
        """Send the signal that came to every running job, once for each: a job may have started while it came."""
        if self.received is None:
            return
        for job in self.running.values():
            if job.number not in self.signalled:
                self.signalled.add(job.number)
                self.launcher.stop(job, self.received)

    @contextlib.contextmanager
    def stop_jobs_on_error(self) -> Iterator[None]:
        """Let every job save and stop when the sweep itself meets an error."""
        try:
            yield
        except BaseException:
            self.received = self.received or signal.SIGTERM
            self.forward_signal()
            while self.running:
                for job, _ in self.launcher.ended(1.0):
                    del self.running[job.number]
            raise

    # -- output

    def print_results(self) -> None:
        """Write the results of the sweep, and print its tables."""
        board = self.results.finish()
        self.console.print(JobTable([row[1:] for row in self.results.job_rows()]))
        if board:
            self.say("\nmean ± standard deviation")
            self.console.print(board.on_screen())
        for line in self.source.summary():
            self.say(line)
        self.say(f"\nsweep folder {self.folder}")
        if self.received is not None and (left := (self.source.size or 0) - len(self.states)):
            self.say(f"jobs not started: {left}; the same command goes on with the whole sweep")

    def exit_status(self) -> int:
        """Return 0 when all jobs are done or pruned, 1 when one is not, 130 or 143 when a signal stopped the sweep."""
        if self.received is not None:
            return 128 + (signal.SIGINT if self.received == signal.SIGINT else signal.SIGTERM)
        return 0 if set(self.states.values()) <= {"done", "pruned"} else Failed.status

    @contextlib.contextmanager
    def live_display(self) -> Iterator[None]:
        """Show the running jobs, each with the last line of its log, below the other output. Terminals only."""
        self.live = None
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self.live:
            yield
        self.live = None

    def refresh_display(self) -> None:
        """Update the display of the running jobs."""
        if self.live is None:
            return
        shown = Table.grid(padding=(0, 2))
        for job in self.running.values():
            name = job_name(job.overrides, self.fixed)
            shown.add_row(Text(name), Text(last_line(job.log), style="dim", overflow="ellipsis"))
        of = f" of {self.source.size}" if self.source.size else ""
        shown.add_row(Text(f"{len(self.states)}{of} ended", style="italic"))
        self.live.update(shown, refresh=True)

    def say(self, text: str) -> None:
        """Print a text as it is: no markup, no wrapping."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def last_line(log: Path) -> str:
    """Return the last line of a file that is not blank; empty where there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, os.path.getsize(log) - 1000))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")
