"""The stages of a run, one file each: fit, refit, sample, figures, evaluate."""
