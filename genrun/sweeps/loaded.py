"""Imported by the server that jobs are forked from: what every run needs, and takes seconds to import."""

import genrun.callbacks.epochs
import genrun.callbacks.keeper
import genrun.evaluation.results
import genrun.run
import genrun.stages
import genrun.training  # noqa: F401
