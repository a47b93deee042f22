"""What can be asked of runs and files besides running: one module for each verb, with `main(arguments)` → exit status."""
