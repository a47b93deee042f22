"""Where the jobs of a sweep run: this machine, SLURM (submitit) or Ray. Each implements `genrun.sweeps.jobs.Launcher`."""
