"""The verbs of the command line, such as `genrun sample`: one module each, with `main(arguments)`, which returns the exit status."""
