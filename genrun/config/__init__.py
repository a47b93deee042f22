"""From command-line words to a configuration, and from a configuration to objects."""
