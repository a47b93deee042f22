"""`genrun -m`: many runs, each a job in a process of its own."""
