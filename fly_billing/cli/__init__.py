"""The command line: `main` has the commands, one module each does the work."""
