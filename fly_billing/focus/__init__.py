"""FOCUS: cost and usage files in the FinOps Foundation's format, in and out."""
