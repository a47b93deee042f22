"""The folder of a run and what it records: identity, status, provenance, weights. Nothing here imports Lightning."""
