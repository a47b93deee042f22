"""Folders that one gives to others: what `genrun export` writes and `genrun import` reads."""
