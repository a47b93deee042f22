"""The judge: what samples are worth, whichever method drew them."""
