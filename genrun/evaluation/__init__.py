"""The judge, which measures how good samples are, whichever method drew them."""
