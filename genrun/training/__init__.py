"""Build Lightning's trainer, and run the worker processes of a training on several devices."""
