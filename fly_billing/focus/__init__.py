"""Imports and exports cost and usage files in FOCUS, the FinOps Foundation's format."""
