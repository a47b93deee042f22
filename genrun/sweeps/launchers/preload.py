"""Imported by the server that jobs are forked from: what every run needs, and takes seconds to import."""

import genrun.run
import genrun.stages.context
import genrun.stages.evaluate
import genrun.stages.figures
import genrun.stages.fit
import genrun.stages.refit
import genrun.stages.sample  # noqa: F401
