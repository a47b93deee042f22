"""Networks. A method builds them from (image_shape, …)."""
