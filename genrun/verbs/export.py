"""`genrun export RUN`: write a folder that one gives to others."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

from genrun.config.extras import to_install
from genrun.errors import Refused
from genrun.runs.find import find_run
from genrun.verbs.arguments import RUN, Arguments, check_new, need_torch, open_checked, outputs_folder

HELP = """The folder holds the weights, the sampler (or decoder) as ONNX and as plain torch, example.py, a model card for the
Hugging Face Hub, the configuration, the results, the provenance, a grid of samples and checksums."""


def main(arguments: list[str]) -> int:
    """Write the folder and print its path; the exit status is 1 if an ONNX file was asked for and is too far from torch."""
    parser = Arguments("genrun export", description=f"Write a run as a folder that one gives to others. {HELP}")
    parser.add_argument("words", nargs="+", metavar="RUN", help=RUN)
    parser.add_argument("--out", help="the folder to make (default: <model>-<data>-<id> in the current folder)")
    parser.add_argument(
        "--license", default="unknown", help="an identifier of the Hub's, such as mit or cc-by-4.0 (default: unknown)"
    )
    parser.add_argument("--no-onnx", action="store_true", help="leave ONNX out; it needs the extra genrun[export]")
    parser.add_argument("--trust", action="store_true", help="also build classes that are not of genrun or torch")
    asked = parser.parse_intermixed_args(arguments)
    words, outputs = outputs_folder(asked.words)
    if len(words) != 1:
        parser.error(f"expected one run, got {len(words)}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", asked.license):
        raise Refused(f"--license {asked.license}: expected an identifier such as mit, apache-2.0 or cc-by-4.0")
    run = open_checked(find_run(words[0], outputs), trust=asked.trust, finished=True)
    name = f"{run.config.model.name}-{run.config.data.name}-{run.folder.path.name}"
    out = Path(asked.out or name)
    check_folder(out)
    if not asked.no_onnx:
        check_onnx()
    need_torch()

    from genrun.sharing.folder import export
    from genrun.system.threads import set_threads

    set_threads(None)
    described = export(run, run.method(trust=asked.trust), out, license=asked.license, onnx=not asked.no_onnx)
    tell(out, described)
    return 1 if described["program"] and not described["onnx"] and not asked.no_onnx else 0


def check_onnx() -> None:
    """Check that what ONNX needs is installed.

    Raises:
        Refused: it is not; the message has the command that installs it.
    """
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise Refused(
            f"ONNX needs {', '.join(missing)}; install {to_install('export')}; or leave ONNX out with --no-onnx"
        )


def check_folder(out: Path) -> None:
    """Check that a folder can be made there.

    Raises:
        Refused: something of this name exists, or the folder around it is missing or cannot be written.
    """
    parent = out.absolute().parent
    if not parent.is_dir():
        raise Refused(f"--out {out}: there is no folder {parent}")
    if not os.access(parent, os.W_OK):
        raise Refused(f"--out {out}: the folder {parent} cannot be written")
    check_new(out)


def tell(out: Path, described: dict) -> None:
    """Print the path and what is in the folder, or why it is not."""
    print(out)
    program, onnx = described["program"], described["onnx"]
    if program is None:
        print(f"no program, no ONNX: {described['why_not']}; example.py needs genrun")
        return
    steps = f", {program['steps']} steps make an image" if program["steps"] else ""
    print(f"{program['name']}.py: {', '.join(program['inputs'])} → {', '.join(program['outputs'])}, plain torch{steps}")
    if program["only_decodes"]:
        print(f"the decoder only: {program['only_decodes']}")
    if onnx:
        print(f"{onnx['file']}: differs from torch by at most {onnx['largest_error']:.1e} on fresh inputs")
    else:
        print(f"no ONNX: {described['why_not']}")
