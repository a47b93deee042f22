"""Figures: grids, GIFs and plots, drawn from tensors and tables."""
