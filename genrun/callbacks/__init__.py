"""Lightning callbacks. They see a method only through genrun.types."""
