"""Save and restore the states of the global random streams, which belong to training."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def random_states() -> dict[str, Any]:
    """Return the states of all global random streams, as plain containers and tensors."""
    kind, keys, *rest = np.random.get_state()
    version, state, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],  # only of the device that trains
        "mps": [torch.mps.get_rng_state()] if torch.backends.mps.is_available() else [],
        "numpy": [kind, keys.tolist(), *rest],
        "python": [version, list(state), gauss],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Set the global random streams back to the states that `random_states` returned."""
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and states["cuda"]:
        torch.cuda.set_rng_state(states["cuda"][0])
    if torch.backends.mps.is_available() and states.get("mps"):
        torch.mps.set_rng_state(states["mps"][0])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    version, state, gauss = states["python"]
    random.setstate((version, tuple(state), gauss))
