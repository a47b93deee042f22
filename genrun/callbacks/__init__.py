"""Lightning callbacks, which know a method only through genrun.types."""
