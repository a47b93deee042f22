"""Losses, schedules, samplers, mixtures, random numbers. Knows no Lightning and no Hydra."""
