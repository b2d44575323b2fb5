"""Readers of usage files: they bring every file format into one shape without losing a row."""
