"""Tables of finished runs, and comparisons between them. Reads folders; trains and judges nothing."""
