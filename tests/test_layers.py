"""Who may import whom: each room is imported in a process in which what it must not know cannot be imported."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import genrun

METHODS = [
    f"genrun.methods.{module.name}"
    for module in pkgutil.iter_modules([f"{genrun.__path__[0]}/methods"])
    if module.name != "method"
]
FRAMEWORKS = ["pytorch_lightning", "hydra", "omegaconf", "matplotlib", "tensorboard", "wandb", "mlflow"]
FORBIDDEN = {
    "types": FRAMEWORKS,
    "nn": FRAMEWORKS,
    "maths": FRAMEWORKS,
    "methods": ["hydra", "omegaconf", "genrun.runs", "genrun.run", "genrun.data", "genrun.figures"],
    "data": ["hydra", *METHODS],
    "evaluation": ["hydra", *METHODS],
    "figures": ["pytorch_lightning", "hydra", *METHODS],
    "callbacks": ["hydra", *METHODS],
}
SCRIPT = """
import importlib, pkgutil, sys
for name in sys.argv[2:]:
    sys.modules[name] = None
room = importlib.import_module(f"genrun.{sys.argv[1]}")
for module in pkgutil.iter_modules(getattr(room, "__path__", [])):
    importlib.import_module(f"{room.__name__}.{module.name}")
"""


@pytest.mark.parametrize("room", FORBIDDEN)
def test_a_room_imports_only_what_it_may(room):
    subprocess.run([sys.executable, "-c", SCRIPT, room, *FORBIDDEN[room]], check=True)


def test_there_is_a_method_to_forbid():
    assert "genrun.methods.csgm" in METHODS
