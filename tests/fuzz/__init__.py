"""Lands thousands of odd rows and broken files, and counts the result of each independently."""
