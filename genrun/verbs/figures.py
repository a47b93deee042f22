"""`genrun figures RUN`: draw the figures of a finished run again, all or some of them, without judging it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genrun.errors import Refused, nearest
from genrun.report.captions import CAPTIONS, caption_of
from genrun.runs.find import find_run
from genrun.verbs.arguments import RUN, Arguments, need_torch, open_checked, outputs_folder

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from genrun.runs.open import OpenRun
    from genrun.stages.context import RunContext

BY_THE_JUDGE = ("best_and_worst", "blends", "mixed_training")  # it draws them itself
OF_PAIRS = {"components", "class_means"}  # figures that --pairs changes
OPTIONS = ("hardware", "paths.")


def main(arguments: list[str]) -> int:
    """Draw figures of a run into its folder, or list those that it can have."""
    parser = Arguments(
        "genrun figures",
        description="Draw the figures of a finished run again, all or those that --only names. The run is not judged again.",
    )
    parser.add_argument("words", nargs="*", metavar="RUN", help=f"{RUN}; default: last")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="figures to draw, such as curves tsne")
    parser.add_argument(
        "--pairs",
        nargs="+",
        default=[],
        metavar="A,B",
        help="pairs of classes to show in the figures components and class_means, by name or number, such as 3,8 cat,dog",
    )
    parser.add_argument(
        "--list", action="store_true", help="say which figures the run can have, and what is seen on each"
    )
    parser.add_argument("--json", action="store_true", help="with --list: print JSON")
    parser.add_argument("--trust", action="store_true", help="also build classes that are not of genrun or torch")
    asked = parser.parse_intermixed_args(arguments)
    words, outputs = outputs_folder(asked.words)
    overrides = [word for word in words if word.startswith(OPTIONS) and "=" in word]
    named = [word for word in words if word not in overrides]
    if len(named) > 1:
        parser.error(f"expected one run, got {len(named)}; figures are named after --only")
    only = [name.partition(".")[0] for word in asked.only for name in word.split(",") if name]
    if wrong := [name for name in only if name not in CAPTIONS]:
        raise Refused(
            f"--only {wrong[0]}: there is no such figure{nearest(wrong[0], CAPTIONS)}; genrun figures RUN --list shows all"
        )
    if asked.json and not asked.list:
        raise Refused("--json: it is for --list, which draws nothing; add --list, or leave --json out")
    if asked.list and (only or asked.pairs or overrides):
        raise Refused("--list names all figures and draws none; leave out --only, --pairs and options")
    run = open_checked(find_run(named[0] if named else "last", outputs), trust=asked.trust, data=True, finished=True)
    pairs = class_pairs(asked.pairs, run.facts.class_names)
    need_torch()
    if asked.list:
        list_figures(run, trust=asked.trust, as_json=asked.json)
    else:
        draw(run, only, overrides, pairs, trust=asked.trust)
    return 0


def list_figures(run: OpenRun, *, trust: bool, as_json: bool) -> None:
    """Print the figures that a run can have, whether each is there, and what is seen on it."""
    from rich.text import Text

    from genrun.stages.figures import possible
    from genrun.system.console import print_json, screen

    there = {path.stem: path for path in run.folder.figures.glob("*") if path.suffix in (".png", ".gif")}
    can = [
        *possible(run.method(trust=trust), run.config, run.folder),
        *(name for name in BY_THE_JUDGE if name in there),
    ]
    found: list[dict[str, Any]] = [
        {"name": name, "file": str(there[name]) if name in there else None, "caption": caption_of(name)} for name in can
    ]
    if as_json:
        print_json(found)
        return
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for figure in found:
        table.add_row(Text(figure["name"]), Text("" if figure["file"] else "not there"), Text(figure["caption"]))
    screen().print(table)


def draw(
    run: OpenRun, only: Sequence[str], overrides: list[str], pairs: Sequence[tuple[int, int]] = (), *, trust: bool
) -> None:
    """Draw figures into the folder of a run, record them, and print their paths.

    Args:
        pairs: pairs of classes, for the figures that show pairs.

    Raises:
        Refused: the run cannot have a figure that is named, its samples or data are missing, or its judge is not trusted.
        Busy: another process is at work on the run.
    """
    from genrun.stages.figures import figures, possible
    from genrun.system.console import say, screen

    folder, console = run.folder, screen()
    context = context_of(run, overrides, trust=trust)
    can = possible(context.method, context.cfg, folder)
    if pairs:
        if not OF_PAIRS & set(only or can):
            given = ",".join(context.data.facts().class_names[label] for label in pairs[0])
            raise Refused(f"--pairs {given}: it is for {' and '.join(sorted(OF_PAIRS))}, and none of them is drawn")
        context.class_pairs = pairs
    if wrong := [name for name in only if name not in can]:
        why = (
            f"`genrun evaluate {folder.path}` draws it"
            if wrong[0] in BY_THE_JUDGE
            else "what it shows is not in this run"
        )
        raise Refused(f"--only {wrong[0]}: {why}; genrun figures {folder.path} --list shows what there can be")
    with folder.lock():
        made = figures(context, only or None)
        record(run, made, every=not only)
    for file in made:
        say(console, str(file))
    for name in only:
        if name not in {file.stem for file in made}:
            say(console, f"{name}: left out, because there is too little to see: no images for it, or all look alike")


def class_pairs(words: Sequence[str], names: Sequence[str]) -> list[tuple[int, int]]:
    """Return the numbers of the classes of each pair.

    Args:
        words: `A,B` for each pair, by name or number.
        names: the names of all classes.

    Raises:
        Refused: a word is no pair of two classes.
    """
    from genrun.data.labels import numbers_of

    found = []
    for word in words:
        numbers = numbers_of(word.split(","), names, "--pairs") if names else []
        if len(set(numbers)) != 2 or len(numbers) != 2:
            given = f"got {word}" if names else "and this data has no classes"
            raise Refused(f"--pairs: expected two classes with a comma between them, such as 3,8, {given}")
        found.append((numbers[0], numbers[1]))
    return found


def context_of(run: OpenRun, overrides: list[str], *, trust: bool) -> RunContext:
    """Build what the stage of the figures needs: the trained method, the data, and the judge with its classifier."""
    import pytorch_lightning  # noqa: F401 it warns when it is imported later

    from genrun.callbacks.loggers import RunLoggers
    from genrun.stages.context import RunContext
    from genrun.system.console import screen
    from genrun.system.hardware import device_of
    from genrun.system.signals import Signals
    from genrun.verbs.evaluate import check_drawn
    from genrun.verbs.judges import judge_of

    check_drawn(run)
    if "figures" not in run.status["stages"]:
        raise Refused(
            f"{run.folder.path}/status.json is damaged: it is done, but has no stage figures; give its command again"
        )
    # stdout gets the paths of the figures, and nothing else
    config, console = config_here(run, overrides, trust=trust), screen(error=True)
    judge = judge_of(run, config, console, trust=trust)
    context = RunContext(config, run.folder, judge.real.data, judge, console, Signals(), (), RunLoggers([], console))
    context.method = run.method(trust=trust).to(device_of(config))
    return context


def config_here(run: OpenRun, overrides: list[str], *, trust: bool) -> DictConfig:
    """Return the configuration of a run with the hardware, the cache and, if its own is gone, the data folder of this machine.

    Raises:
        Refused: its judge names a class that is not trusted.
    """
    from omegaconf import OmegaConf

    from genrun.config.compose import compose
    from genrun.config.trust import TRUSTED_RUN, check_trusted
    from genrun.verbs.judges import config_to_judge_by

    if not trust:
        check_trusted(OmegaConf.to_container(run.config.evaluation), "evaluation", TRUSTED_RUN["evaluation"])
    here = compose(overrides)
    here.evaluation = run.config.evaluation
    return config_to_judge_by(run, here, moved=any(word.startswith("paths.data=") for word in overrides))


def record(run: OpenRun, made: list[Path], *, every: bool) -> None:
    """Record in status.json which figures there are. Later stages stay: what the judge says does not depend on figures.

    Args:
        every: whether all figures were drawn, also those that `run.figures=false` had left out.
    """
    from genrun.stages.keys import stage_keys

    stages = run.folder.status()["stages"]
    names = [str(file.relative_to(run.folder.path)) for file in made]
    stage = stages["figures"] | {"outputs": names if every else sorted({*stages["figures"]["outputs"], *names})}
    config = run.config.copy()
    config.run.figures = False
    if every and stage["key"] == stage_keys(config, run.folder)["figures"]:
        config.run.figures = True
        stage["key"] = stage_keys(config, run.folder)["figures"]
    run.folder.record(stages=stages | {"figures": stage})
