"""Data sets as uint8 images, their splits, and the loaders that make batches."""
