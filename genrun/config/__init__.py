"""Compose a configuration from the words of the command line, check it, and build objects from it."""
