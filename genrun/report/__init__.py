"""Tables of finished runs, and comparisons between runs. This package reads run folders; it does not train or judge."""
