"""genrun: train, sample, judge and compare image generators from one command line."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["open_run"]


def __getattr__(name: str) -> Any:
    """Import `genrun.open_run` when it is first used, because the command line must answer quickly."""
    if name == "open_run":
        from genrun.runs.open import open_run

        return open_run
    raise AttributeError(f"module 'genrun' has no attribute {name!r}")
