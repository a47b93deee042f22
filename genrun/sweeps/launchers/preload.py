"""Import the modules that every run needs and that take seconds. The server that forks the jobs imports this module."""

from genrun.system.loading import load_torch

load_torch()  # before the others, which import torch too

import genrun.run  # noqa: E402
import genrun.stages.context  # noqa: E402
import genrun.stages.evaluate  # noqa: E402
import genrun.stages.figures  # noqa: E402
import genrun.stages.fit  # noqa: E402
import genrun.stages.refit  # noqa: E402
import genrun.stages.sample  # noqa: E402, F401
