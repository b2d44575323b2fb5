"""The command line: `main` has the command, `commands` its subcommands, the other modules do and print their work."""
