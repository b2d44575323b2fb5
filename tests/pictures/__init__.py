"""The pictures of README and docs/: `make pictures` makes all of them, and a test finds those that are out of date."""
