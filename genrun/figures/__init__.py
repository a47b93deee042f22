"""Grids, GIFs and plots: tensors and tables in, pictures out."""
