"""Access to the machine: files, locks, signals, the console, devices, random states."""
