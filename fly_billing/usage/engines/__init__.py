"""Engines that aggregate events: DuckDB on one machine, Spark on many."""
