"""Lightning's trainer, put together; and the worker processes of a training on several devices."""
