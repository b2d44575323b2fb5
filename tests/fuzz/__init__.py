"""Lands odd rows and broken files by the thousand, and counts independently what became of each."""
