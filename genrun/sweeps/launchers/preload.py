"""Import the modules that every run needs and that take seconds. The server that forks the jobs imports this module."""

import genrun.run
import genrun.stages.context
import genrun.stages.evaluate
import genrun.stages.figures
import genrun.stages.fit
import genrun.stages.refit
import genrun.stages.sample  # noqa: F401
