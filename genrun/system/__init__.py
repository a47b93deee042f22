"""The machine below a run: files, locks, signals, the console, devices, random states."""
