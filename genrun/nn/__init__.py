"""Networks, built by a method from (image_shape, …)."""
