"""The outside world as Dagster resources, one class a file: thin, so that all behind them works without Dagster.

A field that is left None is read from the environment when a run needs it, never at import.
"""
