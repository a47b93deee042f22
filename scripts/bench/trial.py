"""A training in a process of its own: its start, its speed and its memory. As a program, train and print these as JSON."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from typing import NamedTuple

from genrun.system.loading import load_torch
from scripts.bench.measuring import KIB_IN_GIB, done


class Trial(NamedTuple):
    """A training in a process of its own."""

    first_step: float  # processor time until the first step, s
    rate: float  # images/s of its last phase, see `epochs.Trained`
    peak: float  # peak memory, GiB


def trial(words: Sequence[str]) -> Trial:
    """Train in a process of its own."""
    return Trial(**json.loads(done([sys.executable, "-m", "scripts.bench.trial", *words]).splitlines()[-1]))


def main(words: Sequence[str]) -> None:
    """Train in this process, and print what a `Trial` holds."""
    load_torch()  # as a command of genrun does it

    from scripts.bench.trainings import train

    trained = train(words)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_IN_GIB
    found = Trial(trained.first_step, trained.rate(trained.epochs[-1].phase), peak)
    print(json.dumps(found._asdict()))


if __name__ == "__main__":
    main(sys.argv[1:])
