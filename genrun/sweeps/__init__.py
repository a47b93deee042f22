"""Run many jobs with one command (`genrun -m`), each job in its own process."""
