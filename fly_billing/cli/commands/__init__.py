"""The subcommands of `fly-billing` and their options, a module for each subject.

A command parses its options and calls one function of `fly_billing.cli`, which it imports when it runs, because
importing Dagster takes a second. Not here: what a command does and prints.
"""
