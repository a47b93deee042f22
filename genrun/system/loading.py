"""Import torch and Lightning, which takes seconds: say so first, and lose no time on the way."""

from __future__ import annotations

import atexit
import gc
import sys

from rich.console import Console

from genrun.system.console import say


def load_torch(console: Console) -> None:
    """Import torch and Lightning; if they are not there yet, say first what takes the time.

    What can be refused without torch is refused before this is called.
    """
    if "pytorch_lightning" in sys.modules:
        return
    if "torch" not in sys.modules:
        say(console, "loading torch …")
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
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries report objects that are still there at the very end
