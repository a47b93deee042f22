"""`genrun reproduce TARGET…`: run what a document reports, and hold the results against what is expected (conf/expected)."""

from __future__ import annotations

import os
import shutil
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genrun.errors import Failed, Refused
from genrun.report.expectations import Expectations, read_expectations, targets
from genrun.verbs.arguments import Arguments, output_path

if TYPE_CHECKING:
    from genrun.report.reproduction import Spread
    from genrun.runs.summary import RunSummary
    from genrun.sweeps.reproduction import ExpectedJob

# options that leave a run what it is
FREE = ("paths.", "hardware=", "hardware.threads=", "hardware.accelerator=", "hydra", "logger", "run.", "sweep.")


def main(arguments: list[str]) -> int:
    """Run the targets, print the verdict on each row, and return the exit status."""
    asked = parse(arguments)
    if not asked.targets:
        list_targets()
        return 0
    wanted = [read_expectations(name) for name in asked.targets]

    from genrun.config.compose import compose
    from genrun.report.reproduction import spreads_of
    from genrun.system.files import write_atomic

    outputs = Path(compose([word for word in asked.words if word.startswith("paths.")], asked.config_dir).paths.outputs)
    status = 0
    if not asked.check:
        every = [job for target in wanted for job in jobs(target, asked, on_request=asked.on_request)]
        status = run_jobs(every, outputs, asked)
    if status > Failed.status:
        return status  # a signal stopped it
    spreads = spreads_of(map(read_expectations, targets()))
    texts, failures = [], []
    for target in wanted:
        text, unexpected = conclude(target, outputs / "reproductions", spreads, asked)
        texts.append(text)
        failures += unexpected
    if asked.out:
        write_atomic(asked.out, "\n".join(texts))
    if failures:
        raise Failed(f"not as expected: {'; '.join(failures)}")
    return status


def jobs(target: Expectations, asked: Namespace, *, on_request: bool) -> list[ExpectedJob]:
    """Return the jobs of a target as the command line asks for them.

    Args:
        on_request: with those that are done on request only.
    """
    from genrun.sweeps.reproduction import jobs_of, miniature_of

    if asked.miniature:
        return miniature_of(target, asked.words)
    return jobs_of(target, asked.words, on_request=on_request)


def conclude(
    target: Expectations, folder: Path, spreads: Mapping[str, Spread], asked: Namespace
) -> tuple[str, list[str]]:
    """Judge the finished runs of a target, write its record, table and figures to a folder, and print the table.

    Returns:
        The table as Markdown, and a text for each row that is not as expected.
    """
    from genrun.report.reproduction import judge, record
    from genrun.report.reproduction_table import markdown_of, print_target
    from genrun.system.console import say, screen
    from genrun.system.files import write_atomic, write_json

    every = jobs(target, asked, on_request=True)
    there = {(job.run.name, job.seed): run for job in every if (run := finished(job, asked.config_dir))}
    changed = asked.miniature or any(not word.startswith(FREE) for word in asked.words)
    judged = judge(target, there, spreads, changed=changed)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figures = copy_figures(target, there, folder)
        text = markdown_of(target, judged, figures)
        write_json(folder / f"{target.name}.json", record(target, judged, there, figures))
        write_atomic(folder / f"{target.name}.md", text)
    except OSError as error:
        raise Refused(f"cannot write {folder}: {error.strerror}; choose another with paths.outputs=…") from None
    print_target(target, judged, screen())
    say(screen(), f"\n{folder / target.name}.md")
    wrong = [row for row in judged if row.unexpected]
    return text, [
        f"{target.name}: {row.text.rstrip('.')}: {row.got} ({row.verdict}), expected {row.expected}" for row in wrong
    ]


def parse(arguments: list[str]) -> Namespace:
    """Parse the command line.

    Raises:
        Refused: an option or a word is wrong.
    """
    parser = Arguments(
        "genrun reproduce",
        description="Run what a document reports, or resume it, and print each number and claim: published, expected, got, verdict. "
        "Exit status 1 if a number is outside its tolerance or a claim turns out otherwise than expected. Without a target: list them.",
    )
    parser.add_argument("words", nargs="*", metavar="TARGET", help="targets, all, or a .yaml file; and option=value")
    parser.add_argument("--check", action="store_true", help="run nothing, judge what is there")
    parser.add_argument("--on-request", action="store_true", help="with the runs that take hours, or need a GPU")
    parser.add_argument(
        "--miniature", action="store_true", help="a tiny run of each target, and a tiny refit: does it work at all?"
    )
    parser.add_argument("--out", type=str, help="a .md file for the tables")
    parser.add_argument("--config-dir", help="a folder of your own groups")
    asked = parser.parse_intermixed_args(arguments)
    asked.targets = [word for word in asked.words if "=" not in word]
    asked.words = [word for word in asked.words if "=" in word]
    asked.name = f"reproduce-{'-'.join(Path(name).stem for name in asked.targets)}"
    if "all" in asked.targets:
        asked.targets = list(targets())
    asked.out = output_path(asked.out, (".md",)) if asked.out else None
    return asked


def list_targets() -> None:
    """Print the targets: their document, runs, and minutes."""
    from genrun.report.tables import table
    from genrun.system.console import screen

    lines = []
    for target in map(read_expectations, targets()):
        trained = [run for run in target.runs.values() if not run.on_request]
        count = sum(len(run.seeds) for run in trained)
        lines.append([target.name, f"{count}", f"{target.minutes():.0f}", f"{len(target.rows)}", target.document])
    screen().print(table(None, ["target", "runs", "minutes", "rows", "document"], lines))


def run_jobs(jobs: Sequence[ExpectedJob], outputs: Path, asked: Namespace) -> int:
    """Do the jobs that are not done yet, as a sweep does, and return its exit status."""
    from genrun.config.compose import compose
    from genrun.sweeps.reproduction import Reproduction
    from genrun.sweeps.sweep import run_source

    of_sweep = [word for word in asked.words if word.startswith(("hydra", "sweep.", "paths."))]
    cfg = compose(of_sweep, asked.config_dir, hydra=True)
    folder = outputs / "sweeps" / (cfg.sweep.name or asked.name)
    return run_source(Reproduction(jobs), cfg, folder, asked.words, asked.config_dir)


def finished(job: ExpectedJob, config_dir: str | None) -> RunSummary | None:
    """Return the finished and judged run of a job; None if there is none."""
    from genrun.config.compose import compose
    from genrun.config.schema import check
    from genrun.parts import known_run
    from genrun.runs.summary import read_summary
    from genrun.stages.keys import stage_keys

    cfg = compose([word for word in job.overrides if not word.startswith("hydra")], config_dir)
    check(cfg)
    known = known_run(cfg)
    if known is None or not known[1].stage_done("evaluate", stage_keys(*known)["evaluate"]):
        return None
    return read_summary(known[1].path)


def copy_figures(target: Expectations, there: dict[tuple[str, int], RunSummary], folder: Path) -> list[dict[str, str]]:
    """Copy the figures that stand beside those of the document, and return what is known of each that there is."""
    found = []
    for figure in target.figures:
        run = there.get((figure.run, target.runs[figure.run].seeds[0]))
        if run is None or not (file := run.folder.path / figure.file).is_file():
            continue
        copy = folder / target.name / f"{figure.source.replace(' ', '-').replace('/', '-')}-{os.path.basename(file)}"
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)
        relative = str(copy.relative_to(folder))
        found.append({**vars(figure), "file": relative, "origin": f"{run.model} on {run.data}, {run.name}"})
    return found
