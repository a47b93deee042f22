"""Losses, schedules, samplers, mixtures and random numbers. Nothing here imports Lightning or Hydra."""
