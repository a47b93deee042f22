"""Several processes train on shares of the same batch."""
