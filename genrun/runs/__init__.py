"""A run's folder and everything that it says: identity, status, provenance, weights. Knows no Lightning."""
