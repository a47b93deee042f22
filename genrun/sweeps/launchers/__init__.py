"""Launchers start the jobs of a sweep: on this machine, by SLURM (submitit) or by Ray.

Each implements `genrun.sweeps.jobs.Launcher`.
"""
