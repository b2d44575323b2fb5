"""Dagster's ConfigurableResources, one class per file, and nothing else.

They are thin: the code behind them works without Dagster. A field that is None is read from the settings when a run
needs it, never at import.
"""
