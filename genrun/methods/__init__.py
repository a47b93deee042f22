"""Methods, one file for each paper. All extend `Method`; docs/methods.md shows how to write your own."""

from genrun.methods.method import Method

__all__ = ["Method"]
