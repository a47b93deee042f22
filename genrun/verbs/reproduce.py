"""`genrun reproduce TARGET…`: run what a document reports, and hold the results against what is expected (conf/expected)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genrun.errors import Failed, Refused, one_line
from genrun.report.expectation_file import read_expectations, targets
from genrun.report.expectations import Expectations
from genrun.verbs.arguments import Arguments

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from genrun.report.seed_spread import Spread
    from genrun.runs.summary import RunSummary
    from genrun.sweeps.reproduction import ExpectedJob

PLACES = ("paths.", "hydra", "sweep.")  # options that only say where and how the runs are done


def main(arguments: list[str]) -> int:
    """Run the targets, print the verdict on each row, and return the exit status."""
    asked = parse(arguments)
    if not asked.targets:
        list_targets()
        return 0

    from genrun.config.compose import compose
    from genrun.report.seed_spread import spreads_of

    outputs = Path(compose([word for word in asked.words if word.startswith("paths.")], asked.config_dir).paths.outputs)
    status = 0
    if not asked.check:
        every = [job for target in asked.targets for job in jobs(target, asked, on_request=asked.on_request)]
        status = run_jobs(every, outputs, asked)
    if status > Failed.status:
        return status  # a signal stopped it
    known = {target.name: target for target in [*map(read_expectations, targets()), *asked.targets]}
    spreads = spreads_of(known.values())
    concluded = [conclude(target, outputs, spreads, asked) for target in asked.targets]
    if failures := [text for _, texts in concluded for text in texts]:
        raise Failed(f"not as expected: {'; '.join(failures)}")
    if asked.check and not any(there for there, _ in concluded):
        raise Failed(
            f"nothing to judge: {outputs} has no run of {' or '.join(target.name for target in asked.targets)}"
        )
    if status:
        raise Failed("some runs are not done: the list above the tables says why")
    return status


def parse(arguments: list[str]) -> Namespace:
    """Parse the command line.

    Raises:
        Refused: an option, a word or a target is wrong.
    """
    parser = Arguments(
        "genrun reproduce",
        description="Run what a document reports, or resume it, and print each number and claim: published, expected, got, verdict. "
        "Exit status 1 if a number is outside its tolerance or a claim turns out otherwise than expected. Without a target: list them.",
    )
    parser.add_argument("words", nargs="*", metavar="TARGET", help="targets, all, or a .yaml file; and option=value")
    parser.add_argument("--check", action="store_true", help="run nothing, judge what is there")
    parser.add_argument("--on-request", action="store_true", help="with the runs that are not part of a target")
    parser.add_argument(
        "--miniature", action="store_true", help="a tiny run of each target, and a tiny refit: does it work at all?"
    )
    parser.add_argument("--config-dir", help="a folder of your own groups")
    asked = parser.parse_intermixed_args(arguments)
    named = [word for word in asked.words if "=" not in word]
    asked.words = [word for word in asked.words if "=" in word]
    if not named and (asked.check or asked.on_request or asked.miniature or asked.words):
        raise Refused(f"reproduce: expected a target: {', '.join(targets())}, all, or a .yaml file")
    if asked.on_request and (asked.check or asked.miniature):
        raise Refused("reproduce: --on-request adds runs; --check does none, and --miniature its own; leave one out")
    if any(word.startswith("seed=") for word in asked.words):
        raise Refused("reproduce: seed=… is an option of a single run; a target has its own seeds")
    names = dict.fromkeys(name for word in named for name in (targets() if word == "all" else [word]))
    asked.targets = [read_expectations(name) for name in names]
    stems = [target.name for target in asked.targets]
    if twice := next((name for name in stems if stems.count(name) > 1), None):
        raise Refused(f"reproduce: two targets have the name {twice}; rename a file")
    asked.name = f"reproduce-{'-'.join(dict.fromkeys(Path(word).stem for word in named))}"
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


def jobs(target: Expectations, asked: Namespace, *, on_request: bool) -> list[ExpectedJob]:
    """Return the jobs of a target as the command line asks for them.

    Args:
        on_request: with those that are done on request only.
    """
    from genrun.sweeps.reproduction import jobs_of, miniature_of

    if asked.miniature:
        return miniature_of(target, asked.words)
    return jobs_of(target, asked.words, on_request=on_request)


def run_jobs(every: Sequence[ExpectedJob], outputs: Path, asked: Namespace) -> int:
    """Do the jobs that are not done yet, as a sweep does, and return its exit status."""
    from genrun.config.compose import compose
    from genrun.sweeps.reproduction import Reproduction
    from genrun.sweeps.sweep import run_source

    of_sweep = [word for word in asked.words if word.startswith(PLACES)]
    cfg = compose(of_sweep, asked.config_dir, hydra=True)
    folder = outputs / "sweeps" / (cfg.sweep.name or asked.name)
    return run_source(Reproduction(every), cfg, folder, asked.words, asked.config_dir)


def conclude(
    target: Expectations, outputs: Path, spreads: Mapping[str, Spread], asked: Namespace
) -> tuple[int, list[str]]:
    """Judge the finished runs of a target, write its record, table and figures, and print the table.

    Those of runs with other settings go to a folder of their own.

    Returns:
        How many finished runs there are, and a text for each row that is not as expected.
    """
    from genrun.report.reproduction import Verdicts, record
    from genrun.report.reproduction_table import markdown_of, print_target
    from genrun.system.console import say, screen
    from genrun.system.files import write_atomic, write_json

    there, changed = finished_runs(jobs(target, asked, on_request=True), asked)
    judged = Verdicts(target, there, spreads, changed=changed).rows()
    folder = outputs / "reproductions" / ("other settings" if changed else "")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figures = copy_figures(target, there, folder)
        write_json(folder / f"{target.name}.json", record(target, judged, there, figures, folder, changed=changed))
        write_atomic(folder / f"{target.name}.md", markdown_of(target, judged, figures))
    except OSError as error:
        raise Refused(f"cannot write {folder}: {error.strerror}; choose another with paths.outputs=…") from None
    print_target(target, judged, screen(), changed=changed)
    say(screen(), f"{folder / target.name}.md")
    expected = {(job.run.name, job.seed): job.run for job in jobs(target, asked, on_request=False)}
    if missing := [run for key, run in expected.items() if key not in there]:
        minutes = sum(run.minutes for run in missing)
        say(
            screen(),
            f"not run yet: {len(missing)} of {len(expected)} runs, about {minutes:.0f} minutes: genrun reproduce {target.name}",
        )
    say(screen(), "")
    wrong = [row for row in judged if row.unexpected]
    return len(there), [
        f"{target.name}: {row.text.rstrip('.')}: {row.got} ({row.verdict}), expected {row.expected}" for row in wrong
    ]


def finished_runs(every: Sequence[ExpectedJob], asked: Namespace) -> tuple[dict[tuple[str, int], RunSummary], bool]:
    """Return the finished runs of jobs by name and seed, and whether the command line gives any of the jobs other settings."""
    from genrun.config.compose import compose
    from genrun.config.schema import check
    from genrun.system.console import say, screen

    there: dict[tuple[str, int], RunSummary] = {}
    deciding = [word for word in asked.words if not word.startswith(PLACES)]
    of_job = [word for word in asked.words if not word.startswith("hydra")]
    changed, composed = asked.miniature, {}
    for job in every:
        if job.run.name not in composed:  # its seeds differ in nothing else
            words = [word for word in job.overrides if word not in asked.words or word in of_job]
            composed[job.run.name] = compose(words, asked.config_dir)
            check(composed[job.run.name])
            if deciding and not changed:
                plain = [word for word in words if word not in deciding]
                changed = decides(compose(plain, asked.config_dir)) != decides(composed[job.run.name])
        cfg = composed[job.run.name].copy()
        cfg.seed = job.seed
        try:
            if run := finished(cfg):
                there[job.run.name, job.seed] = run
        except Refused as error:
            say(screen(error=True), f"left out: {job.run.name}, seed {job.seed}: {one_line(error)}")
    return there, changed


def decides(cfg: DictConfig) -> list[object]:
    """Return what decides the numbers of a run: the options of its training, its samples and its judge."""
    from omegaconf import OmegaConf

    sections = ("model", "data", "trainer", "evaluation", "sample", "callbacks")
    return [OmegaConf.to_container(cfg[name]) for name in sections] + [
        cfg.hardware.precision,
        cfg.run.init_from,
        cfg.seed,
    ]


def finished(cfg: DictConfig) -> RunSummary | None:
    """Return the finished and judged run of a configuration; None if there is none.

    Raises:
        Refused: the data cannot be read, or a record of the run is damaged.
    """
    from genrun.parts import read_facts, with_facts
    from genrun.runs.folder import RunFolder
    from genrun.runs.summary import read_summary
    from genrun.stages.keys import stage_keys

    folders = Path(cfg.paths.outputs) / f"{cfg.model.name}-{cfg.data.name}"
    if not folders.is_dir():
        return None  # the facts of the data need not be read
    cfg = with_facts(cfg, read_facts(cfg)[0])
    folder = RunFolder.of(cfg)
    if not folder.stage_done("evaluate", stage_keys(cfg, folder)["evaluate"]):
        return None
    return read_summary(folder.path)


def copy_figures(
    target: Expectations, there: Mapping[tuple[str, int], RunSummary], folder: Path
) -> list[dict[str, str]]:
    """Copy the figures that stand beside those of the document, and return what is known of each that there is."""
    from genrun.system.console import say, screen
    from genrun.system.files import inside, write_atomic

    found = []
    for place, figure in enumerate(target.figures, 1):
        if (run := there.get((figure.run, target.runs[figure.run].seeds[0]))) is None:
            continue
        if not (file := run.folder.path / figure.file).is_file():
            say(screen(error=True), f"left out: {figure.source}: there is no {file}")
            continue
        copy = folder / target.name / f"{place:02d}-{figure.run}-{file.name}"
        copy.parent.mkdir(exist_ok=True)
        write_atomic(copy, inside(file, run.folder.path).read_bytes())
        origin = f"{run.model} on {run.data}, {run.name}"
        found.append({**vars(figure), "file": str(copy.relative_to(folder)), "origin": origin})
    return found
