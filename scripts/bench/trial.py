"""Train in this process, and print its start, its speed and its memory as JSON: what `trainings.trial` starts."""

from __future__ import annotations

import json
import resource
import sys

from genrun.system.loading import load_torch
from scripts.bench.measuring import KIB_IN_GIB


def main() -> None:
    load_torch()  # as a command of genrun does it

    from scripts.bench.trainings import train

    trained = train(sys.argv[1:])
    found = {
        "first_step": trained.first_step,
        "rate": trained.rate(trained.epochs[-1].phase),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_IN_GIB,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
