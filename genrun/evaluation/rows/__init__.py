"""Rows of the results table: the metrics of samples, each with the value that real images get."""
