"""Reads usage files of every format into one shape, losing nothing."""
