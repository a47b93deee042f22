"""`genrun --help`: print the commands, the choices of each group, examples and flags.

This module needs neither Hydra nor OmegaConf, so that the help appears quickly.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from genrun.verbs.arguments import Arguments

HEADER = """\
genrun [group=choice ...] [option=value ...]      train, sample, evaluate and plot one image generator
genrun -m model=a,b seed=0,1                      a sweep: a run for every combination
genrun -m hydra/sweeper=optuna …                  a search; for a cluster: hydra/launcher=submitit_slurm|ray
genrun sample RUN [--labels 2 --resolution 300]   new images from a finished run
genrun explore RUN [--open]                       a finished run in the browser: codes, resolutions, closest images
genrun evaluate RUN_OR_NPZ [data=mnist]           evaluate a run again, or samples of another program
genrun refit RUN model/prior=choice               fit another prior to the codes of a finished run
genrun list [model=vae …]                         the runs, the newest first
genrun show RUN                                   state, table and grid of a run
genrun compare [RUN …] [--out table.md]           the leaderboard: mean ± deviation over seeds
genrun rm RUN … | prune RUN …                     delete runs, or only what finished runs no longer need
genrun export RUN [--license mit]                 a folder for others: weights, ONNX, plain torch, a model card
genrun import FOLDER                              a run of such a folder; no code of it is run
genrun figures RUN [--only tsne …] [--pairs 3,8]  draw a run's figures again
genrun explain model=vae [trainer.max_epochs …]   every option with its comment, value and type
genrun doctor                                     what is there, missing with the command that gets it, and wrong
genrun report RUNS… -o report.html                one HTML page about some runs, that one can mail
genrun reproduce [TARGET …]                       what the documents report: run it, and hold it against what is expected
genrun new method NAME                            write the two files of a method of your own

RUN is a folder, an id or its beginning, last, best, or best:model=vae,data=mnist

Groups and what may be chosen in each
"""
FOOTER = """
Examples
  genrun                                            CSGM on scikit-learn's digits: no download, 2–3 minutes
  genrun model=csgm data=mnist                      the same on MNIST, read from paths.data (environment: GENRUN_DATA)
  genrun experiment=csgm_mnist_paper                with the published settings
  genrun data=image_folder data.source.path=faces data.resize=64
  genrun -m seed=0,1,2 trainer.max_epochs=20        the same run with three seeds

Flags
  --cfg job      show the configuration of the run         --dry-run   build everything, try one batch, write nothing
  --config-dir   your own folder of configuration groups   --debug     show tracebacks
  -m             sweep; with --dry-run: list its jobs      --trust     (verbs) allow classes of other packages
  -sc install=bash|fish   shell completion (zsh: bash)     --hydra-help   Hydra's own flags
  --version      genrun's version

The same command again prints the table of a finished run, and resumes an interrupted run."""
NOT_GROUPS = ("hydra", "expected", "__pycache__")  # folders of conf/ that a user does not choose from


def main(arguments: list[str]) -> int:
    """Print the help; if `--config-dir` is given, include the groups in that folder."""
    parser = Arguments("genrun --help", add_help=False)
    parser.add_argument("--config-dir", "-cd")
    asked, _ = parser.parse_known_args(arguments)
    folders: list[Traversable | Path] = [resources.files("genrun.conf")]
    if asked.config_dir and Path(asked.config_dir).is_dir():
        folders.append(Path(asked.config_dir))
    groups: dict[str, set[str]] = {}
    for folder in folders:
        for group, choice in choices(folder):
            groups.setdefault(group, set()).add(choice)
    print(HEADER)
    for group in sorted(groups):
        print(f"{group}: {', '.join(sorted(groups[group]))}")
    print(FOOTER)
    return 0


def choices(folder: Traversable | Path, group: str = "") -> Iterator[tuple[str, str]]:
    """Yield every group below a configuration folder with each of its choices: ("model/prior", "mixture")."""
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name not in NOT_GROUPS:
            yield from choices(entry, f"{group}/{entry.name}" if group else entry.name)
        elif group and entry.name.endswith(".yaml"):
            yield group, entry.name.removesuffix(".yaml")
