"""The number of threads that this process computes with."""

from __future__ import annotations

import os

from rich.console import Console

from genrun.system.console import say, screen
from genrun.system.hardware import cores
from genrun.system.load import idle_cores
from genrun.system.turns import turns


def limit_threads(threads: int) -> None:
    """Set the number of threads that torch and the libraries behind numpy use."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(threads)


def set_threads(threads: int | None, kept: int | None = None, console: Console | None = None) -> None:
    """Set the number of threads; None: one for each core that other programs leave free, unless OMP_NUM_THREADS says a number.

    A thread beside another program waits for its core, and all other threads wait for it in every operation: two such threads are
    many times slower than one. Other runs that take turns with this one (`genrun.system.turns`) count as free cores: they wait while
    this process watches.

    Args:
        threads: `hardware.threads`.
        kept: the number with which a run began, which it keeps, bit for bit; None: it begins now. More than this process has cores is
            not kept.
        console: where one line says that other work takes cores; None: the terminal's stderr.
    """
    import torch

    if threads is not None:
        limit_threads(threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        # torch knows the affinity, and nothing of a container's quota
        before, most = torch.get_num_threads(), cores()
        wanted = kept if kept is not None and kept <= most else None
        number = wanted or min(before, most)
        if number > 1 and (free := free_cores()) < number:
            console = console or screen(error=True)
            if wanted is None:
                say(
                    console,
                    f"threads: {max(1, free)} instead of {number}, because other programs are busy on the other cores "
                    "(hardware.threads sets another number)",
                )
                number = max(1, free)
            else:
                say(
                    console,
                    f"threads: {number}, as this run began, though only {free} of {most} cores are free; "
                    f"hardware.threads={max(1, free)} may be faster, but not bit for bit the same",
                )
        if number != before:
            limit_threads(number)


def free_cores() -> int:
    """Return how many cores other programs leave free while no other run has its turn; all where the kernel does not tell."""
    with turns.held():
        free = idle_cores()
    return cores() if free is None else free
