"""Leave torch as it was found: a run in a notebook must not change what the cells after it compute."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
from threadpoolctl import threadpool_limits
from torch.utils import deterministic

from genrun.system.loading import forget_gpus
from genrun.system.random_state import random_states, restore_random_states

# variables of the environment that Lightning sets for its own processes
VARIABLES = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS", "CUBLAS_WORKSPACE_CONFIG", "PYTORCH_NVML_BASED_CUDA_CHECK")


@contextlib.contextmanager
def torch_as_it_was() -> Iterator[None]:
    """Put back, when the context ends, what a training sets for its whole process: threads, deterministic algorithms, random streams."""
    threads, streams, pools = torch.get_num_threads(), random_states(), threadpool_limits()
    strict, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills, tries = deterministic.fill_uninitialized_memory, torch.backends.cudnn.benchmark
    variables = {name: os.environ.get(name) for name in VARIABLES}
    forget_gpus()  # Lightning may have been imported by others
    try:
        yield
    finally:
        pools.restore_original_limits()
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        deterministic.fill_uninitialized_memory, torch.backends.cudnn.benchmark = fills, tries
        restore_random_states(streams)
        for name, value in variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
