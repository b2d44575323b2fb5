"""Rules of the API: pure."""
