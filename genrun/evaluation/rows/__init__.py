"""Lines of the results table: which metrics they hold, and against what they are read."""
