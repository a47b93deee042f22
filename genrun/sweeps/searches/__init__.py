"""Searches choose the jobs of a sweep one after another, by what the earlier ones came to."""
