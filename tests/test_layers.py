"""The floor plan: which room may import which, and that no imports run in a circle. Function-level and type-only imports count."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import genrun

ROOT = Path(genrun.__file__).parent
# A room imports only itself and rooms further down this list.
ROOMS = [
    "__main__",
    "cli",
    "verbs",
    "sweeps",
    "sharing",
    "explore",
    "run",
    "dry_run",
    "stages",
    "training",
    "parts",
    "callbacks",
    "evaluation",
    "report",
    "inference",
    "distributed",
    "runs",
    "data",
    "config",
    "system",
    "methods",
    "figures",
    "nn",
    "maths",
    "types",
    "errors",
    "compat",
]
FRAMEWORKS = {
    "pytorch_lightning",
    "lightning_fabric",
    "hydra",
    "omegaconf",
    "matplotlib",
    "tensorboard",
    "wandb",
    "mlflow",
}
# Libraries, and rooms besides those above it, that a room may not import.
FORBIDDEN = {
    "types": FRAMEWORKS,
    "nn": FRAMEWORKS,
    "maths": FRAMEWORKS,
    "methods": {"hydra", "omegaconf", "matplotlib", "genrun.figures"},
    "figures": {"pytorch_lightning", "lightning_fabric", "hydra", "omegaconf", "genrun.methods"},
    "system": {"hydra"},
    "runs": {"pytorch_lightning", "lightning_fabric", "hydra"},
    "data": {"hydra"},
    "inference": {"hydra"},
    "report": {"hydra"},
    "sharing": {"hydra"},
    "evaluation": {"hydra"},
    "callbacks": {"hydra"},
    "training": {"hydra"},
    "stages": {"hydra"},
    "explore": {"hydra", "pytorch_lightning", "lightning_fabric"},
}
# These see a method through genrun.types only; the base class may stand in an annotation.
NO_METHOD = ("evaluation", "explore", "figures", "callbacks", "report", "inference", "system", "sharing")
# Only these know Hydra; compat hides its private names.
KNOW_HYDRA = {"cli", "verbs", "sweeps", "run", "config", "compat"}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below `genrun`."""
    found = {}
    for file in ROOT.rglob("*.py"):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__") if name != "__init__" else ""] = file
    return found


def imports(file: Path) -> set[str]:
    """Every absolute module or name that a file imports, at any depth: `genrun.runs.folder.RunFolder`, `torch`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def edges(all_modules: dict[str, Path], file: Path) -> set[str]:
    """The modules of the package that a file imports, by their names below `genrun`."""
    found = set()
    for name in imports(file):
        parts = name.split(".")
        if parts[0] != "genrun":
            continue
        below = ".".join(parts[1:])
        while below and below not in all_modules:
            below = below.rpartition(".")[0]
        found.add(below)
    return found


def room_of(module: str) -> str:
    return module.partition(".")[0]


MODULES = modules()
EDGES = {module: edges(MODULES, file) - {module, ""} for module, file in MODULES.items()}


def test_every_room_is_in_the_list():
    assert {room_of(module) for module in MODULES} - {""} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_below_it(room):
    below = set(ROOMS[ROOMS.index(room) :])
    upward = {
        (module, other)
        for module in MODULES
        if room_of(module) == room
        for other in EDGES[module]
        if room_of(other) not in below
    }
    assert not upward


def test_no_imports_run_in_a_circle():
    """Depth first: a module that is met again while its own imports are followed closes a circle."""
    done: set[str] = set()

    def follow(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in sorted(EDGES[module]):
                follow(other, (*path, module))
            done.add(module)

    for module in sorted(MODULES):
        follow(module, ())


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_a_room_does_not_know(room):
    found = {
        (module, name)
        for module, file in MODULES.items()
        if room_of(module) == room
        for name in imports(file)
        for forbidden in FORBIDDEN[room]
        if f"{name}.".startswith(f"{forbidden}.")
    }
    assert not found


def test_only_some_rooms_know_hydra():
    found = {
        room_of(module)
        for module, file in MODULES.items()
        for name in imports(file)
        if name.partition(".")[0] == "hydra"
    }
    assert found <= KNOW_HYDRA


@pytest.mark.parametrize("room", NO_METHOD)
def test_a_room_knows_no_method(room):
    found = {
        (module, other)
        for module in MODULES
        if room_of(module) == room
        for other in EDGES[module]
        if room_of(other) == "methods" and other not in ("methods", "methods.method")
    }
    assert not found


def test_the_package_folder_holds_few_modules():
    flat = [module for module in MODULES if "." not in module and (ROOT / f"{module}.py").is_file()]
    assert len([*flat, "__init__"]) <= 10, flat


def test_private_names_of_frameworks_lie_in_compat():
    """`hydra._internal`, names with an underscore imported from Hydra, OmegaConf, Lightning or Optuna, and attributes of others."""
    frameworks = ("hydra", "omegaconf", "pytorch_lightning", "lightning_fabric", "optuna")
    found = {
        (module, name)
        for module, file in MODULES.items()
        if module != "compat"
        for name in imports(file)
        if name.startswith(tuple(f"{one}." for one in frameworks)) and "._" in name
    }
    assert not found
    own = {"_fields", "_asdict", "_replace", "_exit"}  # of NamedTuple and os
    attributes = {
        (module, ast.unparse(node))
        for module, file in MODULES.items()
        if module not in ("compat", "data.loaders")  # torch has no public way to end a loader's workers
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if node.attr not in own and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "cfg"))
    }
    assert not {(module, name) for module, name in attributes if not name.endswith("._target_")}
