"""Look at a trained method in the browser: the pictures that its capabilities allow, and the server that shows them."""
