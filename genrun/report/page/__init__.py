"""The report of some runs as one HTML page. This package reads run folders and encodes pictures; the templates lie beside it."""
