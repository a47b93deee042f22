"""Data sets as sources of uint8 images, their splits, and the loaders that make batches of them."""
