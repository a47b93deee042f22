"""One file for each paper. `Method` is what they all extend; docs/methods.md shows how to write your own."""

from genrun.methods.method import Method

__all__ = ["Method"]
