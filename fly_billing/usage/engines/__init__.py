"""Engines that add events up: DuckDB, or Spark for more than one machine."""
