"""One file for each stage of a run: fit, refit, sample, figures, evaluate."""
