"""What genrun costs, as ratios to other code that does the same, measured in turn on one machine: `python -m scripts.bench --help`."""
