"""Read from its source what a class takes: the type of each argument, and what its docstring says of it. Nothing is imported.

A class that `_target_` names lies in a module that imports torch, which takes seconds; its text says the same at once. The few arguments of
torch's and Lightning's classes stand here: these packages build much of their namespace when they are imported.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import genrun

ROOT = Path(genrun.__file__).parents[1]
NAMES = {"None": "null", "str": "text", "bool": "true | false", "Any": "any value"}
LISTS = ("list", "tuple", "set", "Sequence", "Iterable", "Collection")
MAPPINGS = ("dict", "Mapping")


class Argument(NamedTuple):
    """An argument of a class or a function."""

    type: str  # in the words of YAML, such as `int | null`; empty: the source does not say
    about: str  # what the docstring says of it; empty if nothing


UNKNOWN = Argument("", "")
FOREIGN = {  # beginning of a class's name → its arguments
    "torch.optim.": {
        "lr": Argument("float", "learning rate."),
        "betas": Argument("list of float", "β₁ and β₂: what the running means of the gradient and its square keep in a step."),
        "eps": Argument("float", "is added to the root of the mean square of the gradient."),
        "weight_decay": Argument("float", "what a step takes off each weight: this share of it, times the learning rate."),
        "momentum": Argument("float", "share of the step before that is added to a step."),
        "nesterov": Argument("true | false", "look ahead by the momentum before the gradient is taken."),
        "fused": Argument("true | false | null", "one kernel for all weights, which is quicker and rounds otherwise."),
    },
    "pytorch_lightning.Trainer": {  # its YAML says what they are
        "max_epochs": Argument("int | null", ""),
        "max_time": Argument("text | null", ""),
        "gradient_clip_val": Argument("float | null", ""),
        "limit_val_batches": Argument("int | float", ""),
    },
    "pytorch_lightning.callbacks.EMAWeightAveraging": {
        "decay": Argument("float", "share that the mean of the weights keeps in a step; samples are drawn with the mean."),
    },
    "pytorch_lightning.loggers.": {
        "experiment_name": Argument("text", "name of the experiment in MLflow."),
        "name": Argument("text", "name of the folder of its records."),
        "version": Argument("text | int | null", "name of the run's folder in it; empty: none of its own."),
        "project": Argument("text", "name of the project in W&B."),
        "offline": Argument("true | false", "keep the records on this machine."),
    },
}  # fmt: skip


def arguments_of(target: str) -> dict[str, Argument]:
    """Return the arguments of the class or function that a `_target_` names; empty if its source is not found.

    A class that takes `**options`, or has no `__init__`, also has those of its bases.
    """
    for beginning, arguments in FOREIGN.items():
        if target.startswith(beginning):
            return arguments
    module, _, name = target.rpartition(".")
    file = source_of(module)
    return {} if file is None else _arguments_in(file, module, name)


def takes_only(target: str) -> dict[str, Argument]:
    """Return the arguments of a class or function of genrun, or of the current folder, if its source says that it takes no others.

    They are empty if it has no `__init__` of its own, or takes `**options`.
    """
    module, _, name = target.rpartition(".")
    if (file := source_of(module)) is None or (tree := _tree(file)) is None:
        return {}
    node = next(
        (one for one in tree.body if isinstance(one, ast.FunctionDef | ast.ClassDef) and one.name == name), None
    )
    if isinstance(node, ast.ClassDef):
        node = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    return {} if node is None or node.args.kwarg else arguments_of(target)


def names_of(module: str) -> set[str]:
    """Return the names of the classes and functions that a module of genrun, or of the current folder, has or imports; empty if unknown."""
    if (file := source_of(module)) is None or (tree := _tree(file)) is None:
        return set()
    plain = ast.FunctionDef | ast.ClassDef | ast.ImportFrom | ast.Import | ast.Assign | ast.AnnAssign | ast.Expr
    imported = _imports(tree)
    if not all(isinstance(node, plain) for node in tree.body) or "*" in imported:
        return set()  # a name may come from anywhere
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)} | imported.keys()


@cache
def _tree(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_text())
    except (OSError, SyntaxError, ValueError):
        return None


@cache
def _arguments_in(file: Path, module: str, name: str) -> dict[str, Argument]:
    """Return the arguments of a class or function of a module, given its file."""
    if (tree := _tree(file)) is None:
        return {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return (
                _of_function(node, tree, node) if isinstance(node, ast.FunctionDef) else _of_class(node, tree, module)
            )
    # a module may offer a class of another one
    imported = _imports(tree).get(name)
    return arguments_of(imported) if imported and imported != f"{module}.{name}" else {}


def source_of(module: str) -> Path | None:
    """Return the file of a module of genrun, or of one in the current folder; None if there is none."""
    for root in (ROOT, Path(os.getcwd())) if module else ():
        place = root.joinpath(*module.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


def _of_class(node: ast.ClassDef, tree: ast.Module, module: str) -> dict[str, Argument]:
    initialiser = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    made: dict[str, Argument] = {}
    if initialiser is None or initialiser.args.kwarg:
        known = _imports(tree)
        for base in reversed(node.bases):
            name = ast.unparse(base)
            made |= arguments_of(known.get(name, f"{module}.{name}"))
    if initialiser is None:  # also a dataclass, which has its arguments in its body
        said = documented(ast.get_docstring(node) or "")
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
        made |= {one.target.id: Argument(words(one.annotation, tree), said.get(one.target.id, "")) for one in fields}
        return {name: one._replace(about=said.get(name, one.about)) for name, one in made.items()}
    return made | _of_function(initialiser, tree, node)


def _of_function(
    node: ast.FunctionDef, tree: ast.Module, documents: ast.FunctionDef | ast.ClassDef
) -> dict[str, Argument]:
    said = documented(ast.get_docstring(documents) or "")
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {one.arg: Argument(words(one.annotation, tree), said.get(one.arg, "")) for one in every if one.arg != "self"}


def _imports(tree: ast.Module) -> dict[str, str]:
    """Return what a module imports by name from other modules: name → full name."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def _assigned(name: str, tree: ast.Module) -> tuple[ast.expr, ast.Module] | None:
    """Return what a module or the one that it imports the name from assigns to a name, such as `Init = Literal["torch", "glorot"]`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(one) for one in node.targets] == [name]:
            return node.value, tree
    module, _, there = _imports(tree).get(name, "").rpartition(".")
    if module.startswith("genrun.") and (file := source_of(module)) is not None:
        return _assigned(there, ast.parse(file.read_text()))
    return None


def documented(docstring: str) -> dict[str, str]:
    """Return what the section `Args` of a docstring says of each argument."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", docstring, re.MULTILINE)
    found: dict[str, str] = {}
    for names, text in _entries(section[1] if section else ""):
        found |= dict.fromkeys(re.split(r",\s*", names), text)
    return found


def _entries(section: str) -> Iterator[tuple[str, str]]:
    """Yield the names and the text of each entry of a section: `a, b: text`, which may go on in lines that are further to the right."""
    entries = re.split(r"^ {4}(?=\S)", section, flags=re.MULTILINE)
    for entry in entries:
        names, colon, text = entry.partition(":")
        if colon and re.fullmatch(r"[\w*]+(,\s*[\w*]+)*", names.strip()):
            yield names.strip(), " ".join(text.split())


def words(annotation: ast.expr | None, tree: ast.Module) -> str:
    """Return an annotation in the words of YAML: `int | None` → `int | null`, `Literal["a", "b"]` → `a | b`, a class → `part`.

    Args:
        tree: the module, in which the annotation may have another name.
    """
    if annotation is None:
        return ""
    if isinstance(annotation, ast.Constant):
        return "null" if annotation.value is None else str(annotation.value)
    if isinstance(annotation, ast.BinOp):
        return " | ".join(dict.fromkeys([words(annotation.left, tree), words(annotation.right, tree)]))
    if isinstance(annotation, ast.Subscript):
        kind = ast.unparse(annotation.value).rpartition(".")[2]
        inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        if kind == "Literal":
            return " | ".join(words(one, tree) for one in inner)
        if kind in LISTS:
            return f"list of {words(inner[0], tree)}"
        if kind in MAPPINGS:
            return "mapping"
        return "part"
    name = ast.unparse(annotation).rpartition(".")[2]
    if (alias := _assigned(name, tree)) is not None:
        return words(*alias)
    if name in ("int", "float"):
        return name
    return NAMES.get(name) or ("list" if name in LISTS else "mapping" if name in MAPPINGS else "part")
