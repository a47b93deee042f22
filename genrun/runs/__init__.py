"""The folder of a run and what it records: identity, status, provenance, weights. Nothing here imports Lightning.

The package can be called, see `genrun.CallableRuns`: `genrun.runs("outputs", model="vae")`.
"""

import sys

import genrun

sys.modules[__name__].__class__ = genrun.CallableRuns
