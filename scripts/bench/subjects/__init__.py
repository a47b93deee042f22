"""One module for each subject, with `rows(effort)`, which measures and yields one row after another."""
