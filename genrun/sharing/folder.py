"""Write a run as a folder that one gives to others."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import OmegaConf
from safetensors.torch import save

import genrun
from genrun.errors import Refused
from genrun.figures.grid import image_grid, png_bytes
from genrun.inference import class_grid, grid_names
from genrun.sharing.card import card, table_page
from genrun.sharing.example import example_by_genrun, plain_example
from genrun.sharing.program import TOLERANCE, largest_error, onnx_of, plain_torch, trace
from genrun.sharing.published import published_config, published_provenance
from genrun.sharing.received import SUMS, WANTED
from genrun.system.files import PNG, read_inside, write_atomic, write_json
from genrun.types import Exports, Program

if TYPE_CHECKING:
    import torch

    from genrun.methods.method import Method
    from genrun.runs.open import OpenRun

OUTPUTS = {"sampler": ["images"], "decoder": ["images"], "sampler_step": ["next_x", "next_memory"]}
DOCS = {
    "sampler": "Return the images (n, C, H, W) in [0, 1] of given random numbers,",
    "decoder": "Return the images (n, C, H, W) in [0, 1] of codes,",
    "sampler_step": "Return the next x and memory of the sampler, (n, C, H, W) each,",
}


def export(run: OpenRun, method: Method, out: Path, *, license: str, onnx: bool) -> dict[str, Any]:
    """Write the folder, whole or not at all.

    Args:
        method: the run's, on the CPU.
        out: the folder to make.
        license: an identifier of the Hub's.
        onnx: whether to write ONNX too.

    Returns:
        The content of export.json.

    Raises:
        Refused: a record is damaged, or the folder cannot be written.
    """
    part = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        part.mkdir()
        try:
            described = fill(part, run, method, license=license, onnx=onnx)
            os.rename(part, out)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    except OSError as error:
        raise Refused(f"cannot write {out}: {error.strerror or error}") from error
    return described


def fill(folder: Path, run: OpenRun, method: Method, *, license: str, onnx: bool) -> dict[str, Any]:
    """Write all files into an empty folder; return the content of export.json."""
    config, left = published_config(OmegaConf.to_container(run.config))
    ids = {key: run.status[key] for key in ("id", "group_id") if key in run.status}
    provenance = published_provenance(run.folder.provenance(), ids, left)
    state = {name: value.detach().contiguous() for name, value in method.state_dict().items()}
    write_atomic(folder / "model.safetensors", save(state))
    described = write_program(folder, method, run.facts.class_names, state, onnx=onnx)
    results = run.folder.results() if (run.folder.path / "results.json").exists() else None
    write_atomic(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    write_json(folder / "provenance.json", provenance)
    write_json(folder / "export.json", described)
    if results:
        write_json(folder / "results.json", results)
        write_atomic(folder / "results.md", table_page(results))
    write_atomic(folder / "samples.png", grid_of(run, method))
    name = f"{config['model']['name']}-{config['data']['name']}-{ids.get('id', run.folder.path.name)}"
    text = card(name, config, results, described, provenance, license=license, num_classes=method.num_classes)
    write_atomic(folder / "README.md", text)
    write_atomic(folder / SUMS, sums(sorted(folder.iterdir())))
    return described


def write_program(
    folder: Path, method: Method, class_names: Iterable[str], state: dict[str, torch.Tensor], *, onnx: bool
) -> dict[str, Any]:
    """Write the method's program, its ONNX and example.py; return the content of export.json.

    A method without a program, or with one that torch cannot trace, gets an example that needs genrun. ONNX that is too far from torch
    is not kept.
    """
    described: dict[str, Any] = {"format": 1, "genrun": genrun.__version__, "program": None, "onnx": None}
    try:
        if not isinstance(method, Exports):
            raise ValueError(method.not_exported())
        program = method.exported_program()
        traced = trace(program)
    except (ValueError, Refused) as why:
        write_atomic(folder / "example.py", example_by_genrun(str(why), method.num_classes))
        return described | {"why_not": str(why)}
    text, constants = plain_torch(traced, program.name, f"{DOCS[program.name]} on the CPU; see README.md.")
    write_atomic(folder / f"{program.name}.py", text)
    files = ["model.safetensors"]
    if constants:
        write_atomic(folder / "constants.safetensors", save(constants))
        files.append("constants.safetensors")
    if program.only_decodes:
        write_atomic(
            folder / "codes.safetensors", save({name: value.contiguous() for name, value in program.inputs.items()})
        )
    names = list(class_names) if method.num_classes else []
    write_atomic(folder / "example.py", plain_example(program, names, files))
    described["program"] = {
        "name": program.name,
        "inputs": {name: [*(["n"] if value.ndim else []), *value.shape[1:]] for name, value in program.inputs.items()},
        "outputs": OUTPUTS[program.name],
        "steps": program.steps,
        "only_decodes": program.only_decodes,
    }
    if not onnx:
        return described | {"why_not": "it was exported with --no-onnx"}
    return described | write_onnx(folder, program, traced)


def write_onnx(folder: Path, program: Program, traced: torch.export.ExportedProgram) -> dict[str, Any]:
    """Write the ONNX model and compare it with torch; return the entries of export.json about it.

    If it cannot be written or is too far from torch, there is no file, and `why_not` says why.
    """
    file = folder / f"{program.name}.onnx"
    try:
        model = onnx_of(traced, OUTPUTS[program.name])
        error = largest_error(program, model)
    except Refused as why:
        return {"why_not": str(why)}
    if not error <= TOLERANCE:
        return {"why_not": f"it differs from torch by {error:.1e}, more than {TOLERANCE:.0e}"}
    write_atomic(file, model)

    import onnx
    import onnxruntime

    checked = {
        "file": file.name,
        "largest_error": error,
        "tolerance": TOLERANCE,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
    return {"onnx": checked}


def grid_of(run: OpenRun, method: Method) -> bytes:
    """Return the final grid of the run as PNG; it is drawn if the run folder has none, or another file or a link out in its place."""
    with contextlib.suppress(OSError):
        grid = read_inside(run.folder.samples / "final.png", run.folder.path, WANTED["samples.png"])
        if grid.startswith(PNG):
            return grid
    names = grid_names(method, run.facts.class_names)
    return png_bytes(image_grid(class_grid(method, 10, int(run.config.seed)), 10, row_names=names))


def sums(files: Iterable[Path]) -> str:
    """Return the lines of SHA256SUMS."""
    made = []
    for file in files:
        with open(file, "rb") as content:
            made.append(f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {file.name}\n")
    return "".join(made)
