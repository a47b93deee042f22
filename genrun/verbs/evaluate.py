"""`genrun evaluate RUN_OR_NPZ …`: judge finished runs or the images of .npz files, or test the judge with controls."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrun.errors import Refused
from genrun.runs.find import paths_of
from genrun.runs.summary import is_current
from genrun.verbs.arguments import RUN, Arguments, check_new, need_torch, open_checked, output_path, outputs_folder
from genrun.verbs.judges import compose_for_run, config_to_judge_by, judge_of, make_judge

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from rich.console import Console

    from genrun.runs.open import OpenRun

FOR_FILES = ("data", "evaluation", "experiment", "hardware", "paths.", "seed")
# options of the judge that need a method, not only images
OF_A_METHOD = (
    *("reconstructions", "likelihoods", "importance_samples", "class_separation", "linear_probe"),
    *("combinations", "blends", "mixed_training", "epoch_samples"),
)
OFF = ("0", "1", "false", "[]", "null")  # one importance sample is none
FOR_RUNS = ("evaluation", "hardware", "paths.cache", "paths.data")
HELP = """The default is evaluation=full.

examples:
  genrun evaluate outputs/csgm-mnist/3f9a21c4                 judge a finished run again
  genrun evaluate last evaluation=quick                       judge the latest run with other options
  genrun evaluate 'outputs/*-mnist/*'                         judge many runs again
  genrun evaluate samples.npz data=mnist --out table.md       judge samples from anywhere
  genrun evaluate --controls data=mnist                       what the judge reports for copies, noise, blur, …
"""


def main(arguments: list[str]) -> int:
    """Judge each target and print a table; the table of a run goes into its folder, other tables go to --out."""
    from argparse import RawDescriptionHelpFormatter

    parser = Arguments(
        "genrun evaluate",
        description="Judge finished runs, or .npz files with `images` and, if there are any, `labels`.",
        epilog=HELP,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words", nargs="*", metavar="RUN_OR_NPZ | option=value", help=f"{RUN}, a pattern, or an .npz file"
    )
    parser.add_argument(
        "--controls",
        action="store_true",
        help="test the judge with images whose right verdict is known, such as copies, noise and blur",
    )
    parser.add_argument("--out", help="a .md or .json file for the table of an .npz file or of the controls")
    parser.add_argument("--config-dir", help="a folder of your own groups")
    parser.add_argument(
        "--trust", action="store_true", help="also build classes of a run that are not of genrun or torch"
    )
    asked = parser.parse_intermixed_args(arguments)
    words, outputs = outputs_folder(asked.words)
    named = [word for word in words if "=" not in word or word.startswith("best:") or Path(word).exists()]
    overrides = [word for word in words if word not in named]
    targets = [target for word in named for target in targets_of(word, outputs)]
    out = output_path(asked.out, (".md", ".json")) if asked.out else None
    if asked.controls and targets:
        raise Refused(f"expected runs or .npz files, or --controls, got both; leave {targets[0]} or --controls out")
    if not asked.controls and not targets:
        raise Refused("expected runs or .npz files, or --controls; genrun evaluate --help shows how")
    if out:
        check_new(out)
    if out and (len(targets) > 1 or any(target.is_dir() for target in targets)):
        raise Refused("--out is for one .npz file or the controls; a run's table goes into its folder")

    judges_runs = any(target.is_dir() for target in targets)
    for word in overrides:
        if judges_runs and not word.startswith(FOR_RUNS):
            raise Refused(
                f"{word}: a run is judged on its own data, with its own seed; only {', '.join(FOR_RUNS)} can be set "
                "(to judge its samples with other options, give its samples.npz)"
            )

    from genrun.config.compose import compose
    from genrun.data.places import check_npz
    from genrun.system.console import screen

    for target in targets:
        if target.is_file():
            check_npz(target)
    console = screen()
    if asked.controls:
        cfg = compose(["evaluation.train_on_generated=0", *overrides], asked.config_dir)
        check_for_files(overrides)
        need_torch()
        judge_controls(cfg, console, out)
        return 0
    for target in targets:
        if target.is_dir():
            moved = any(word.startswith("paths.data=") for word in overrides)
            cfg = compose_for_run(target, overrides, asked.config_dir, console)
            judge_run(target, cfg, console, trust=asked.trust, moved=moved)
        else:
            cfg = compose(overrides, asked.config_dir)
            check_for_files(overrides)
            need_torch()
            judge_file(target, cfg, console, out)
    return 0


def check_for_files(words: list[str]) -> None:
    """Check that options can matter where the images of a file, or the controls, are judged.

    Raises:
        Refused: one is an option of a run or of its method.
    """
    for word in words:
        option, _, value = word.lstrip("+~").partition("=")
        needs_method = option.removeprefix("evaluation.") in OF_A_METHOD and value.lower() not in OFF
        if needs_method or not option.startswith(FOR_FILES):
            raise Refused(
                f"{word}: no run and no method is judged here, only images; expected options of data, evaluation, hardware, paths or seed "
                "that need no method; leave it out"
            )


def targets_of(word: str, outputs: Path) -> list[Path]:
    """Return the run folders or .npz files that a word names: see `paths_of`.

    Raises:
        Refused: there is none.
    """
    found = [Path(word)] if word.endswith(".npz") and not glob.has_magic(word) else paths_of(word, outputs)
    targets = [path for path in found if path.suffix == ".npz" or is_current(path)] if glob.has_magic(word) else found
    if not targets:
        raise Refused(f"{word}: no run folder or .npz file matches this pattern")
    for target in targets:
        if not target.exists():
            raise Refused(f"{target}: there is no such run folder or .npz file")
    return targets


def judge_file(file: Path, cfg: DictConfig, console: Console, out: Path | None) -> None:
    """Judge the images of an .npz file against the data set of `cfg`; print the table, and write it to `out` if given."""
    from genrun.data.arrays import read_npz
    from genrun.data.images import check_values
    from genrun.data.summary import classes
    from genrun.data.words import plural, shown
    from genrun.evaluation.table import record
    from genrun.report.tables import results_markdown, show_results
    from genrun.system.console import say

    samples, notes = read_npz(file, floats=True)
    if dark := check_values(samples.array, str(file)):
        notes.append(dark)
    judge = make_judge(cfg, console)
    labels = judge.labels_of(samples, str(file))
    names = () if labels is None else judge.facts.class_names
    say(console, "; ".join([f"{shown(file)}: {plural(len(samples), 'image')}", classes(samples, names), *notes]))
    results = record(f"{file} against {cfg.data.name}", judge.judge(samples.array, labels), judge)
    show_results(results, console)
    write_out(out, results_markdown(results), results, console)


def judge_controls(cfg: DictConfig, console: Console, out: Path | None) -> None:
    """Judge controls, whose right verdict is known, and real images that are spoilt step by step (the examination).

    Print the tables, and write them to `out` if given.
    """
    from genrun.evaluation.controls import SHOWN, judged
    from genrun.evaluation.examination import criteria_lines, examination_lines, examined
    from genrun.evaluation.table import record
    from genrun.report.tables import markdown, number, table
    from genrun.report.verdict import verdict

    judge = make_judge(cfg, console)
    if not judge.spaces():
        raise Refused("--controls need something to judge by; evaluation=none has nothing")
    title, lines, records = f"controls on {cfg.data.name}", [], []
    for control, rows in judged(judge):
        told = rows if isinstance(rows, list) else []
        values = {row.name: number(row.value) for row in told}
        if not lines:
            floors = {row.name: number(row.floor) for row in told}
            floor_name = f"real: {len(control.images):,} training images"
            lines.append([floor_name, *(floors.get(name, "–") for name in SHOWN.values()), "the floor"])
        records.append(record(control.name, told, judge) | ({} if told else {"refused": rows}))
        said = verdict(records[-1] | {"title": title})
        note = f"{control.expected}; verdict: {said}" if said else control.expected
        lines.append([control.name, *(values.get(name, "–") for name in SHOWN.values()), note])
    steps = list(examined(judge))
    names = [space.name for space in judge.spaces()]
    tables = (
        (title, ["control", *SHOWN, "expected"], lines),
        (f"{len(steps) - 1} steps of spoilt images on {cfg.data.name}", *examination_lines(steps, names)),
        ("criteria of the examination", *criteria_lines(steps, names)),
    )
    for one in tables:
        console.print(table(*one))
    record_of_steps = [
        {**step._asdict(), "neighbours": {name: found._asdict() for name, found in step.neighbours.items()}}
        for step in steps
    ]
    results = {"title": title, "controls": records, "ladders": record_of_steps}
    write_out(out, "\n".join(markdown(*one) for one in tables), results, console)


def judge_run(folder: Path, cfg: DictConfig, console: Console, *, trust: bool, moved: bool) -> None:
    """Judge a finished run on its own data with the options of `cfg.evaluation`, and write the table into its folder.

    Args:
        trust: whether classes that are not of genrun or torch may be built.
        moved: whether to read the data from `cfg.paths.data`. This is also done if the run's own data folder does not exist.
    """
    run = open_checked(folder, trust=trust, data=True, finished=True)
    check_drawn(run)
    need_torch()

    from genrun.report.tables import show
    from genrun.stages.evaluate import evaluate
    from genrun.stages.keys import evaluate_key
    from genrun.system.files import write_atomic
    from genrun.system.hardware import device_of

    config = config_to_judge_by(run, cfg, moved=moved)
    judge = judge_of(run, config, console, trust=trust)
    judge.check(config.sample.n, f"{folder}/samples.npz")
    method = run.method(trust=trust).to(device_of(config))
    if "sample" not in run.status["stages"]:
        raise Refused(f"{folder}/status.json is damaged: it is done, but has no stage sample; give its command again")
    key = evaluate_key(run.status["stages"]["sample"]["key"], config, run.folder)
    with run.folder.lock():
        number = 1
        while (folder / f"results.old-{number}.json").exists():
            number += 1
        for ending in ("json", "md"):  # keep the old table: another evaluation may have reported more
            old = folder / f"results.{ending}"
            if old.is_file() and not old.is_symlink():  # a link may lead to a file that must not get into this folder
                write_atomic(folder / f"results.old-{number}.{ending}", old.read_bytes())

        def work() -> list[Path]:
            return evaluate(run.folder, config, judge.real.data, method, judge)

        run.folder.run_stage("evaluate", key, work, again=True)
    show(run.folder, console)


def check_drawn(run: OpenRun) -> None:
    """Check that a run has its samples.npz, with as many images as it may have.

    Raises:
        Refused: it has none, as an imported run, or others.
    """
    from genrun.runs.records import check_samples

    folder = run.folder.path
    samples = folder / "samples.npz"
    if not samples.is_file() and "imported" in run.status:
        drawn = f"genrun sample {folder} --n {run.config.sample.n} --out samples.npz"
        raise Refused(
            f"{folder} was imported without samples.npz; {drawn} draws them, and genrun evaluate samples.npz data=… judges them"
        )
    if not samples.is_file():
        raise Refused(f"{folder} has no samples.npz; give its command again first")
    check_samples(samples, run.config.sample.n, run.facts.image_shape)


def write_out(out: Path | None, text: str, record: dict[str, Any], console: Console) -> None:
    """Write a table as Markdown (.md) or the record that it was made from (.json) to `out`, if given."""
    from genrun.system.files import write_atomic, write_json

    if out:
        try:
            if out.suffix == ".md":
                write_atomic(out, text)
            else:
                write_json(out, record)
        except OSError as error:
            raise Refused(f"cannot write {out}: {error.strerror}") from error
        console.print(f"\n{out}", highlight=False, markup=False)
