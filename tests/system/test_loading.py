"""Importing torch, and what is imported when. The processes of these tests import no torch, so that they take no time."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, sys, types
from genrun.system import loading
assert not loading.is_loaded()
class Finder:  # stands for Lightning
    def find_spec(self, name, path=None, target=None):
        if name == "pytorch_lightning":
            seen.append(gc.isenabled())
            from importlib.machinery import ModuleSpec
            return ModuleSpec(name, self)
    def create_module(self, spec): return None
    def exec_module(self, module): pass
seen = []
sys.meta_path.insert(0, Finder())
loading.load_torch()
print(seen, gc.isenabled(), gc.get_freeze_count() > 1000, loading.is_loaded())
"""


def test_no_garbage_is_searched_while_torch_is_imported():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "[False] True True True\n"
