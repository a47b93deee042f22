"""Searches choose each job of a sweep by the results of the earlier jobs."""
