"""Import torch and Lightning, which takes seconds: no time is lost on the way."""

from __future__ import annotations

import atexit
import gc
import os
import sys


def is_loaded() -> bool:
    """Return whether Lightning, and torch with it, is imported."""
    return sys.modules.get("pytorch_lightning") is not None


def load_torch() -> None:
    """Import torch and Lightning."""
    # An import makes hundreds of thousands of objects that stay. Python would go over all of them again and again, to find garbage: a
    # quarter of the processor time. Afterwards it leaves them alone.
    searches = gc.isenabled()
    gc.disable()
    try:
        # Lightning adds a log handler when it is imported, so it is imported before genrun sets its own
        import pytorch_lightning  # noqa: F401
    finally:
        if searches:
            gc.enable()
    forget_gpus()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries report objects that are still there at the very end


def forget_gpus() -> None:
    """Let torch no longer look for NVIDIA's library if this machine has no GPU.

    Lightning makes torch ask that library for GPUs. Where it is missing, each step of an optimizer would search the disk for its file.
    """
    import torch

    if not torch.cuda.is_available():
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
